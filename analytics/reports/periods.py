"""Periods as people write them: times, days, and ages such as `7d`, in UTC or in a named time zone."""

import re
from datetime import datetime

from analytics.reports.values import BadQuestion, moment
from collector.store import Cursor

EVER_NS = (-(2**63), 2**63 - 1)

_AGES = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_FORMS = "write a day (2026-11-20), an RFC 3339 time (2026-11-20T15:00:00Z) or an age (90m, 24h, 7d)"


def period(c: Cursor, begin: str | None, end: str | None, *, now_ns: int, tz: str = "UTC") -> tuple[int, int]:
    """`begin` and `end` as nanoseconds, half-open; None is unbounded.

    A day means its beginning in `begin` and its end in `end`, in the time zone `tz`; a time without an offset is
    read in `tz`; an age counts back from `now_ns`. Raises BadQuestion naming `from`, `to` or `tz`.
    """
    require_zone(c, tz)
    begin_ns = EVER_NS[0] if begin is None else _instant(c, "from", begin, now_ns, tz)
    end_ns = EVER_NS[1] if end is None else _instant(c, "to", end, now_ns, tz)
    if begin_ns >= end_ns:
        raise BadQuestion("from", "from is not before to: exchange them")
    return begin_ns, end_ns


def bounds(from_ns: int, to_ns: int) -> dict[str, str | None]:
    """A stored period as answers tell it: `from` and `to`, None where it is unbounded."""
    return {
        "from": None if from_ns == EVER_NS[0] else moment(from_ns),
        "to": None if to_ns == EVER_NS[1] else moment(to_ns),
    }


def require_zone(c: Cursor, tz: str) -> None:
    """Raise BadQuestion unless `tz` is a known time zone."""
    known = "SELECT count(*) FROM pg_timezone_names() WHERE name = ?"
    if tz != "UTC" and c.execute(known, [tz]).fetchall() == [(0,)]:
        raise BadQuestion("tz", "tz is not a time zone: use a name of the IANA database, such as Europe/Berlin")


def _instant(c: Cursor, field: str, text: str, now_ns: int, tz: str) -> int:
    text = text.strip()
    if age := re.fullmatch(r"(\d{1,6})([mhdw])", text, re.ASCII):
        return now_ns - int(age[1]) * _AGES[age[2]] * 10**9
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadQuestion(field, f"{field} is not a time: {_FORMS}") from None
    if not 1970 <= time.year < 2262:
        raise BadQuestion(field, f"{field} is outside of 1970 to 2261: {_FORMS}")
    is_day = re.fullmatch(r"\d{4}-?\d\d-?\d\d", text, re.ASCII) is not None
    if time.tzinfo is not None:
        return int(time.timestamp()) * 10**9 + time.microsecond * 1000
    to_ns = "SELECT epoch_ns((CAST(? AS TIMESTAMP) + to_days(?)) AT TIME ZONE ?)"
    return int(c.execute(to_ns, [time, int(is_day and field == "to"), tz]).fetchall()[0][0])
