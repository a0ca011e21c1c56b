"""The one way to show a value: money, tokens, counts, time, ids, coverage and text that an emitter controls.

The values come in the shapes of the reports: money as a decimal string in USD or None, times as
RFC 3339 UTC, durations in milliseconds. All functions return plain text; templates escape it.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

UNPRICED = "unpriced"
NONE = "–"
SMALLEST_USD = Decimal("0.000001")
USD_PLACES = (  # from so many dollars, so many decimal places
    (10_000, 0),
    (1, 2),
    (Decimal("0.1"), 3),
    (Decimal("0.01"), 4),
    (Decimal("0.001"), 5),
    (0, 6),
)

# Control characters (ANSI escapes begin with one) and the invisible marks that reorder text.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def usd(value: str | Decimal | None) -> str:
    """Dollars with the digits that matter: `$1,234`, `$12.30`, `$0.0123`, `$0.00042`; None is `unpriced`, never $0."""
    if value is None:
        return UNPRICED
    amount = Decimal(value)
    size = abs(amount)
    if size == 0:
        return "$0"
    if size < SMALLEST_USD:
        return f"<${SMALLEST_USD:f}"
    places = next(places for floor, places in USD_PLACES if size >= floor)
    return f"{'-' if amount < 0 else ''}${size:,.{places}f}"


def count(value: int | None) -> str:
    """A whole number with thousands separators."""
    return NONE if value is None else f"{value:,}"


def tokens(value: int | None) -> str:
    """Tokens in three or four digits: `950`, `12.3k`, `4.56M`."""
    if value is None:
        return NONE
    for limit, unit, places in ((10**9, "B", 2), (10**6, "M", 2), (10**4, "k", 1)):
        if value >= limit:
            return f"{value / (1000 if unit == 'k' else limit):.{places}f}{unit}"
    return f"{value:,}"


def percent(share: float | None) -> str:
    """A share of 1 as percent; only a full share is shown as 100 % and only nothing as 0 %."""
    if share is None:
        return NONE
    if share in (0, 1):
        return f"{share * 100:.0f} %"
    value = min(max(share * 100, 0.1), 99.9)
    return f"{value:.1f} %" if value < 10 or value > 99 else f"{value:.0f} %"


def change(now: str | Decimal | None, before: str | Decimal | None) -> str | None:
    """How far `now` is from `before`, as `+12 %`; None where there is nothing to compare with."""
    if now is None or before is None or Decimal(before) == 0:
        return None
    return f"{(Decimal(now) / Decimal(before) - 1) * 100:+.0f} %"


def duration(milliseconds: float | None) -> str:
    """A time span in at most two units: `85 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`."""
    if milliseconds is None:
        return NONE
    if milliseconds < 1:
        return f"{milliseconds * 1000:.0f} µs" if milliseconds else "0 ms"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 59_950:
        return f"{milliseconds / 1000:.1f} s"
    seconds = round(milliseconds / 1000)
    for size, unit, small, small_unit in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = seconds % size // small
            return f"{seconds // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{seconds} s"


def moment(value: str | int | datetime) -> datetime:
    """A time of a report (RFC 3339) or of the store (nanoseconds) as a datetime in UTC."""
    if isinstance(value, int):
        return datetime.fromtimestamp(value / 1e9, UTC)
    parsed = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def utc(value: str | int | datetime | None) -> str:
    """An absolute time: `2026-11-20 15:00:00 UTC`."""
    return NONE if value is None else f"{moment(value):%Y-%m-%d %H:%M:%S} UTC"


def iso(value: str | int | datetime | None) -> str:
    """An absolute time for machines, as in the `datetime` attribute of HTML."""
    return "" if value is None else f"{moment(value):%Y-%m-%dT%H:%M:%S.%f}Z"


def ago(value: str | int | datetime | None, now_ns: int) -> str:
    """A time as seen from now: `just now`, `27 s ago`, `4 min ago`, `3 h ago`, `2 d ago`, then the date."""
    if value is None:
        return NONE
    seconds = int(now_ns / 1e9 - moment(value).timestamp())
    if seconds < -1:
        return f"in {duration(-seconds * 1000)}"
    if seconds < 2:
        return "just now"
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h"), (14 * 86_400, 86_400, "d")):
        if seconds < limit:
            return f"{seconds // size} {unit} ago"
    return f"{moment(value):%Y-%m-%d}"


def short_id(value: str | None) -> str:
    """The first eight digits of a trace, run or span id."""
    return NONE if not value else value[:8]


def inert(value: Any) -> str:
    """Text of an emitter without what a terminal or a text renderer would obey; templates escape the rest."""
    return NONE if value is None or value == "" else _INVISIBLE.sub("\ufffd", str(value))


def csv_cell(value: Any) -> str:
    """A CSV value that no spreadsheet runs: text that looks like a formula gets an apostrophe, numbers stay."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return csv_cell(" ".join(map(str, value)))
    if not isinstance(value, str) or _is_number(value):
        return str(value)
    text = _INVISIBLE.sub("\ufffd", value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None


def coverage(row: dict[str, Any]) -> float | None:
    """Share of model calls that are priced (contract fields `priced_calls`, `unpriced_calls`, `unknown_calls`)."""
    calls = row["priced_calls"] + row["unpriced_calls"] + row["unknown_calls"]
    return row["priced_calls"] / calls if calls else None


FILTERS = {
    f.__name__: f for f in (usd, count, tokens, percent, change, duration, utc, iso, ago, short_id, inert, coverage)
}
