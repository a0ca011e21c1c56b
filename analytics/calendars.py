"""Days and periods by the clocks of a time zone. Pure.

Minutes are whole ones since 1970 (UTC). A time that the clocks skip means the moment at which they jump; of one that
they show twice, the first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY_MINUTES = 1440
_DAYS = {"d": 1, "w": 7}
_MONTHS = {"M": 1, "Q": 3, "Y": 12}
_NAMES = {"d": "day", "w": "week", "M": "month", "Q": "quarter", "Y": "year"}
UNITS = (*_DAYS, *_MONTHS)
_EPOCH = datetime.fromisoformat("1970-01-01")


def is_zone(name: object) -> bool:
    """Whether this is the name of a time zone (IANA)."""
    try:
        return isinstance(name, str) and bool(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


@dataclass(frozen=True)
class Calendar:
    """Periods that follow a calendar: `count` units (d, w, M, Q, Y) each, one of which begins at `start` (local)."""

    count: int
    unit: str
    start: datetime
    time_zone: str

    @property
    def usual_minutes(self) -> int:
        """The length of a period of common days and months: a month has 30 days, a year 365."""
        days = _DAYS.get(self.unit) or {"M": 30, "Q": 90, "Y": 365}[self.unit]
        return self.count * days * DAY_MINUTES

    @property
    def longest_minutes(self) -> int:
        """No period is longer."""
        return self.usual_minutes * 31 // 30 + DAY_MINUTES

    def __str__(self) -> str:
        name = _NAMES[self.unit]
        length = name if self.count == 1 else f"{self.count} {name}s"
        return f"{length} ({self.time_zone})"

    def period(self, minute: int) -> tuple[int, int]:
        """The period that holds `minute`: its first minute, and the first one after it."""
        local = datetime.fromtimestamp(minute * 60, ZoneInfo(self.time_zone))
        if self.unit in _DAYS:
            number = (local.date() - self.start.date()).days // (self.count * _DAYS[self.unit])
        else:
            months = (local.year - self.start.year) * 12 + local.month - self.start.month
            number = months // (self.count * _MONTHS[self.unit])
        number -= minute < self._begin(number)
        number += minute >= self._begin(number + 1)
        return self._begin(number), self._begin(number + 1)

    def _begin(self, number: int) -> int:
        if self.unit in _DAYS:
            return _minute(self.start + timedelta(days=number * self.count * _DAYS[self.unit]), self.time_zone)
        year, month = divmod(self.start.year * 12 + self.start.month - 1 + number * self.count * _MONTHS[self.unit], 12)
        return _minute(self.start.replace(year=year, month=month + 1), self.time_zone)


def day(zone: str, minute: int) -> tuple[int, int]:
    """The local day that holds `minute`: its first minute, and the first one of the next day."""
    return Calendar(1, "d", _EPOCH, zone).period(minute)


def days(zone: str, first: int, end: int) -> Iterator[tuple[int, int]]:
    """The local days of which the last minute lies in [first, end)."""
    begin, after = day(zone, first)
    while after - 1 < end:
        yield begin, after
        begin, after = day(zone, after)


def _minute(local: datetime, zone: str) -> int:
    return int(local.replace(tzinfo=ZoneInfo(zone)).timestamp()) // 60
