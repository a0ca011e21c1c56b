"""Calls summed by minute and hour, so that a question about costs reads what is new instead of every call.

Reading takes bins where nothing has changed and calls everywhere else (`extents`), in one transaction: the answer is
the same as from the calls alone, to the last digit. A minute is summed again once it has been quiet for a while; hours
that are past for long become one bin.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collector.store import Cursor, Store

MINUTE_NS = 60 * 10**9
HOUR = 60
QUIET_NS = 15 * 10**9
"""A minute that was touched later than this is read from its calls: it is likely to be touched again."""
LATE_MINUTES = 15
"""So long after its end an hour becomes one bin."""
MOST_EXTENTS = 64
"""With more pieces than this one pass over all calls is faster."""

Extent = tuple[int, int]

CALLS = """
SELECT *,
    CAST(counted AS INTEGER) AS calls,
    CAST(counted AND status = 'error' AS INTEGER) AS errors,
    CAST(counted AND pricing = 'priced' AS INTEGER) AS priced,
    CAST(counted AND pricing = 'unpriced' AS INTEGER) AS unpriced,
    CAST(counted AND pricing = 'unknown' AS INTEGER) AS unknown,
    CASE WHEN pricing = 'priced' THEN coalesce(input_tokens, 0) + coalesce(output_tokens, 0) END AS known_tokens
FROM owned_calls()
"""
"""Each call as a bin of its own; `owned_calls()` is defined by analytics.owned_calls."""

_SUMS = (
    "calls", "errors", "priced", "unpriced", "unknown", "known_tokens", "input_tokens", "output_tokens",
    "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "cost_pusd", "booked_pusd", "reported_pusd",
    "wasted_pusd", "avoided_pusd",
)  # fmt: skip
_SUMMED = ", ".join(f"sum({name}) AS {name}" for name in _SUMS)


@dataclass(frozen=True)
class Mark:
    """Which minutes are in bins: [first, end), by the hour before `hours_until`, except `touched` ones."""

    first: int
    hours_until: int
    end: int
    touched: frozenset[int] = frozenset()

    def bin_of(self, minute: int) -> Extent:
        """The minutes of the bin that holds `minute`."""
        if minute >= self.hours_until:
            return minute, minute + 1
        return minute // HOUR * HOUR, minute // HOUR * HOUR + HOUR


def touch(c: Cursor, minutes: Iterable[int], now_ns: int) -> None:
    """Note that calls of these minutes (`start_ns // MINUTE_NS`) change in the cursor's transaction.

    To be called with the minutes of the rows that go and of the rows that come.
    """
    if distinct := sorted(set(minutes)):
        c.execute("INSERT INTO touched_cost_minutes SELECT unnest(?::INTEGER[]), ?", [distinct, now_ns])


def touch_where(c: Cursor, condition: str, values: Sequence[object], now_ns: int) -> None:
    """`touch` the minutes of the calls of which the SQL `condition` holds."""
    minutes = f"SELECT DISTINCT start_ns // {MINUTE_NS}, {now_ns} FROM calls WHERE {condition}"
    c.execute(f"INSERT INTO touched_cost_minutes {minutes}", list(values))


def refresh(store: Store, now_ns: int) -> int:
    """Sum again what was touched and is quiet by now, and make hours of old minutes; how many bins were written.

    A job of the schedule.
    """
    with store.transaction() as c:
        quiet = [row[0] for row in c.execute(_TAKE, [now_ns - QUIET_NS]).fetchall()]
        mark = read_mark(c)
        if not quiet and mark is None:
            return 0
        hours_until = (now_ns // MINUTE_NS - LATE_MINUTES) // HOUR * HOUR
        mark = mark or Mark(min(quiet), hours_until, max(quiet) + 1)
        hours_until = max(hours_until, mark.hours_until)
        _name_groups(c)
        written = _sum_again(c, sorted({mark.bin_of(minute) for minute in quiet}), mark.hours_until)
        written += c.execute(_FOLD, [hours_until]).fetchall()[0][0]
        c.execute("DELETE FROM cost_bins WHERE minutes = 1 AND minute < ?", [hours_until])
        c.execute("DELETE FROM cost_bin_marks")
        first = min([mark.first, *quiet]) // HOUR * HOUR  # no call lies before, else its minute were touched
        end = max([mark.end, hours_until, *(minute + 1 for minute in quiet)])
        c.execute("INSERT INTO cost_bin_marks VALUES (?, ?, ?)", [first, hours_until, end])
    return int(written)


def read_mark(c: Cursor) -> Mark | None:
    """What is in bins as the cursor sees it; None: nothing."""
    marks = c.execute("SELECT first_minute, hours_until, end_minute FROM cost_bin_marks").fetchall()
    if not marks:
        return None
    first, hours_until, end = marks[0]
    touched = c.execute("SELECT DISTINCT minute FROM touched_cost_minutes").fetchall()
    return Mark(first, hours_until, end, frozenset(row[0] for row in touched))


def extents(mark: Mark, from_ns: int, to_ns: int) -> tuple[list[Extent], list[Extent]]:
    """[from_ns, to_ns) as stretches of minutes to read from bins, and stretches of time to read from calls."""
    begin = max(-(-from_ns // MINUTE_NS), mark.first)
    begin = begin if mark.bin_of(begin)[0] == begin else mark.bin_of(begin)[1]
    end = mark.bin_of(min(to_ns // MINUTE_NS, mark.end))[0]
    touched = sorted({mark.bin_of(minute) for minute in mark.touched if begin <= minute < end})
    bins = _between(begin, end, touched)
    return bins, _between(from_ns, to_ns, [(first * MINUTE_NS, last * MINUTE_NS) for first, last in bins])


def rows_sql(c: Cursor, periods: Sequence[Extent]) -> str | None:
    """SQL of rows as those of CALLS over `periods`, bins where possible; without a value of single calls.

    None where bins do not help.
    """
    if (mark := read_mark(c)) is None:
        return None
    found = [extents(mark, from_ns, to_ns) for from_ns, to_ns in periods]
    bins, calls = ([extent for each in found for extent in each[side]] for side in (0, 1))
    if not bins or len(bins) + len(calls) > MOST_EXTENTS:
        return None
    single = f"SELECT start_ns, call_group, {', '.join(_SUMS)} FROM ({CALLS}) WHERE {_within('start_ns', calls)}"
    summed = f"SELECT minute * {MINUTE_NS} AS start_ns, call_group, {', '.join(_SUMS)} FROM cost_bins"
    return f"SELECT *, {_NOBODY} FROM ({single} UNION ALL {summed} WHERE {_within('minute', bins)})"


_NOBODY = """NULL::UBIGINT AS trace_hi, NULL::UBIGINT AS trace_lo, NULL::UBIGINT AS run_span, NULL::INTEGER AS step,
    NULL::VARCHAR AS "user", NULL::VARCHAR AS session, NULL::VARCHAR AS owner"""
_TAKE = """
DELETE FROM touched_cost_minutes
WHERE minute IN (SELECT minute FROM touched_cost_minutes GROUP BY minute HAVING max(touched_ns) <= ?)
RETURNING minute
"""
# A description may have several ids (see collector.dimensions): bins keep the first of them.
_NAME = """
INSERT INTO first_groups
SELECT * FROM (
    SELECT call_group, min(call_group) OVER (PARTITION BY {columns}) AS first_group FROM call_groups
)
WHERE call_group > ?
"""
_AGAIN = f"""
INSERT INTO cost_bins BY NAME
SELECT w.minute, w.minutes, first_group AS call_group, {_SUMMED}
FROM ({CALLS.replace("owned_calls()", "(SELECT *, true AS counted FROM calls)")}) c
JOIN first_groups USING (call_group)
JOIN wanted_bins w ON w.minute = if(c.start_ns < $hours_ns, c.start_ns // {HOUR * MINUTE_NS} * {HOUR},
    c.start_ns // {MINUTE_NS})
WHERE c.start_ns >= $from_ns AND c.start_ns < $to_ns
GROUP BY ALL
"""
_FOLD = f"""
INSERT INTO cost_bins BY NAME
SELECT minute // {HOUR} * {HOUR} AS minute, {HOUR} AS minutes, call_group, {_SUMMED}
FROM cost_bins WHERE minutes = 1 AND minute < ?
GROUP BY ALL
"""


def _name_groups(c: Cursor) -> None:
    """Find the first id of descriptions that are new."""
    ((known, last),) = c.execute(
        "SELECT (SELECT coalesce(max(call_group), -1) FROM first_groups), (SELECT max(call_group) FROM call_groups)"
    ).fetchall()
    if last is not None and last > known:
        columns = [f'"{name}"' for name in c.sql("FROM call_groups LIMIT 0").columns if name != "call_group"]
        c.execute(_NAME.format(columns=", ".join(columns)), [known])


def _sum_again(c: Cursor, wanted: Sequence[Extent], hours_until: int) -> int:
    if not wanted:
        return 0
    c.execute(
        "CREATE OR REPLACE TEMP TABLE wanted_bins AS "
        "SELECT unnest(?::INTEGER[]) AS minute, unnest(?::INTEGER[]) AS minutes",
        [[first for first, _ in wanted], [end - first for first, end in wanted]],
    )
    c.execute("DELETE FROM cost_bins WHERE minute IN (SELECT minute FROM wanted_bins)")
    bounds = {"from_ns": wanted[0][0] * MINUTE_NS, "to_ns": wanted[-1][1] * MINUTE_NS}
    return int(c.execute(_AGAIN, bounds | {"hours_ns": hours_until * MINUTE_NS}).fetchall()[0][0])


def _between(begin: int, end: int, holes: Sequence[Extent]) -> list[Extent]:
    """[begin, end) without the holes, which are sorted, apart and inside of it."""
    edges = [begin, *(edge for hole in holes for edge in hole), end]
    return [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True) if first < last]


def _within(column: str, stretches: Sequence[Extent]) -> str:
    return " OR ".join(f"({column} >= {first} AND {column} < {last})" for first, last in stretches) or "false"
