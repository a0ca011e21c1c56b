"""Which minutes are summed in bins, and which have changed since: what to read from bins and what anew."""

from dataclasses import dataclass

from analytics.stretches import Stretch, without
from collector.store import Cursor

MINUTE_NS = 60 * 10**9
HOUR = 60
MOST_EXTENTS = 64
"""With more pieces than this one pass over all rows is faster."""


@dataclass(frozen=True)
class Mark:
    """Which minutes are in bins: [first, end), by the hour before `hours_until`, except `touched` ones."""

    first: int
    hours_until: int
    end: int
    touched: frozenset[int] = frozenset()

    def bin_of(self, minute: int) -> Stretch:
        """The minutes of the bin that holds `minute`."""
        if minute >= self.hours_until:
            return minute, minute + 1
        return minute // HOUR * HOUR, minute // HOUR * HOUR + HOUR


def read_mark(c: Cursor) -> Mark | None:
    """What is in bins as the cursor sees it; None: nothing."""
    marks = c.execute("SELECT first_minute, hours_until, end_minute FROM cost_bin_marks").fetchall()
    if not marks:
        return None
    first, hours_until, end = marks[0]
    touched = c.execute("SELECT DISTINCT minute FROM touched_cost_minutes").fetchall()
    return Mark(first, hours_until, end, frozenset(row[0] for row in touched))


def extents(mark: Mark, from_ns: int, to_ns: int) -> tuple[list[Stretch], list[Stretch]]:
    """[from_ns, to_ns) as stretches of minutes to read from bins, and stretches of time to read from calls."""
    begin = max(-(-from_ns // MINUTE_NS), mark.first)
    begin = begin if mark.bin_of(begin)[0] == begin else mark.bin_of(begin)[1]
    end = mark.bin_of(min(to_ns // MINUTE_NS, mark.end))[0]
    touched = sorted({mark.bin_of(minute) for minute in mark.touched if begin <= minute < end})
    bins = without(begin, end, touched)
    return bins, without(from_ns, to_ns, [(first * MINUTE_NS, last * MINUTE_NS) for first, last in bins])
