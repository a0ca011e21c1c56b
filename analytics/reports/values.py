"""How values leave the store: money, times, ids and names of flags, ready for JSON; and how questions are refused."""

import re
from datetime import UTC, datetime

from collector.semconv import Flag

PUSD_PER_USD = 10**12
NS_PER_US = 1000


class BadQuestion(ValueError):
    """A question that cannot be answered as asked. `field` is the parameter at fault; the text holds the remedy."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


def usd(pusd: int | None) -> str | None:
    """10^-12 USD as an exact decimal string in USD without exponent or trailing zeros: 12300000000 is "0.0123"."""
    if pusd is None:
        return None
    whole, part = divmod(abs(pusd), PUSD_PER_USD)
    digits = f"{whole}.{part:012}".rstrip("0").rstrip(".")
    return f"-{digits}" if pusd < 0 else digits


def pusd(field: str, amount: str | None) -> int | None:
    """An amount in USD such as "0.05" as 10^-12 USD. Raises BadQuestion."""
    if amount is None:
        return None
    whole, _, part = amount.strip().partition(".")
    if not (whole + part).isdecimal() or not (whole + part).isascii() or len(whole) > 6 or len(part) > 12:
        raise BadQuestion(field, f"{field} is not an amount in USD: write it plainly, such as 0.05, at most 999999")
    return int(whole or "0") * PUSD_PER_USD + int(part.ljust(12, "0"))


def moment(ns: int) -> str:
    """Nanoseconds since 1970 as RFC 3339 in UTC, microseconds kept."""
    seconds, rest = divmod(ns, 10**9)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // NS_PER_US:06}Z"
    except (ValueError, OverflowError, OSError):
        return "9999-12-31T23:59:59.999999Z"


def milliseconds(ns: int | None) -> float | None:
    """Nanoseconds as milliseconds, microseconds kept."""
    return None if ns is None else round(ns / 1e6, 3)


def hex_id(value: int | None) -> str | None:
    """A span id as 16 lower-case hex digits."""
    return None if value is None else f"{value:016x}"


def trace_of(run_id: str) -> tuple[int, int] | None:
    """The trace that a run is keyed by, as the store holds it (`trace_hi`, `trace_lo`); None if this is no run id.

    Numbers are found many times faster than texts.
    """
    if not re.fullmatch(r"[0-9a-f]{32}(-[0-9a-f]{16})?", run_id):
        return None
    return int(run_id[:16], 16), int(run_id[16:32], 16)


def flag_names(flags: int) -> list[str]:
    """The set flags of a span, lower-case, in the order of their bits."""
    return [str(f.name).lower() for f in Flag if flags & f] if flags else []
