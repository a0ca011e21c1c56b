"""Which minutes are summed in bins, and which have changed since: what to read from bins and what anew."""

from collections.abc import Sequence
from dataclasses import dataclass

from analytics.stretches import Stretch, without
from collector.store import Cursor

MINUTE_NS = 60 * 10**9
TEN, HOUR, DAY = 10, 60, 1440
MOST_EXTENTS = 64
"""With more pieces than this one pass over all rows is faster."""


@dataclass(frozen=True)
class Mark:
    """Which minutes are in bins: [first, end), by the hour before `hours_until`, from there on by ten minutes before
    `tens_until`, except `touched` ones."""

    first: int
    hours_until: int
    end: int
    touched: frozenset[int] = frozenset()
    tens_until: int = 0

    def bin_of(self, minute: int) -> Stretch:
        """The minutes of the bin that holds `minute`."""
        size = HOUR if minute < self.hours_until else TEN if minute < self.tens_until else 1
        return minute // size * size, minute // size * size + size


def read_mark(c: Cursor) -> Mark | None:
    """What is in bins as the cursor sees it; None: nothing."""
    marks = c.execute("SELECT first_minute, hours_until, end_minute, tens_until FROM cost_bin_marks").fetchall()
    if not marks:
        return None
    first, hours_until, end, tens_until = marks[0]
    touched = c.execute("SELECT DISTINCT minute FROM touched_cost_minutes").fetchall()
    return Mark(first, hours_until, end, frozenset(row[0] for row in touched), tens_until)


def extents(mark: Mark, from_ns: int, to_ns: int) -> tuple[list[Stretch], list[Stretch]]:
    """[from_ns, to_ns) as stretches of minutes to read from bins, and stretches of time to read from calls."""
    begin = max(-(-from_ns // MINUTE_NS), mark.first)
    begin = begin if mark.bin_of(begin)[0] == begin else mark.bin_of(begin)[1]
    end = mark.bin_of(min(to_ns // MINUTE_NS, mark.end))[0]
    touched = sorted({mark.bin_of(minute) for minute in mark.touched if begin <= minute < end})
    bins = without(begin, end, touched)
    return bins, without(from_ns, to_ns, [(first * MINUTE_NS, last * MINUTE_NS) for first, last in bins])


def whole_days(mark: Mark, bins: Sequence[Stretch]) -> tuple[list[Stretch], list[Stretch]]:
    """Stretches of minutes as stretches of days that lie in them as a whole, and what is left of the minutes."""
    days, rest = [], []
    for begin, end in bins:
        first, last = -(-begin // DAY), min(end, mark.hours_until) // DAY
        inside = [(first, last)] if first < last else []
        days += inside
        rest += without(begin, end, [(a * DAY, b * DAY) for a, b in inside])
    return days, rest
