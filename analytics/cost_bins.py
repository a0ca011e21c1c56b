"""Calls summed by minute, hour and day, so that a question about costs reads what is new instead of every call.

Reading takes bins where nothing has changed and calls everywhere else (`extents`), in one transaction: the answer is
the same as from the calls alone, to the last digit. A minute is summed again once it has been quiet for a while; ten
minutes, then hours that are past for long become one bin. Whole days are there once more, in a table of their own.
"""

from collections.abc import Iterable, Sequence

from analytics import emitter_checks
from analytics.minute_bins import DAY, HOUR, MINUTE_NS, MOST_EXTENTS, TEN, Mark, extents, read_mark, whole_days
from analytics.stretches import Stretch, within
from collector.store import Cursor, Store

QUIET_NS = 15 * 10**9
"""A minute that was touched later than this is read from its calls: it is likely to be touched again."""
LATE_MINUTES = {TEN: 5, HOUR: 15}
"""So long after their end ten minutes, and an hour, become one bin."""

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
        until = {size: (now_ns // MINUTE_NS - late) // size * size for size, late in LATE_MINUTES.items()}
        known = mark or Mark(min(quiet), until[HOUR], max(quiet) + 1, tens_until=until[TEN])
        hours_until = max(until[HOUR], known.hours_until)
        tens_until = max(until[TEN], known.tens_until, hours_until)
        wanted = sorted({known.bin_of(minute) for minute in quiet})
        _name_groups(c)
        written = _sum_again(c, wanted, known)
        for size, end in ((HOUR, hours_until), (TEN, tens_until)):
            written += c.execute(_FOLD.format(size=size), [end]).fetchall()[0][0]
            c.execute("DELETE FROM cost_bins WHERE minutes < ? AND minute < ?", [size, end])
            emitter_checks.fold(c, size, end)
        days = {begin // DAY for begin, _ in wanted} | set(range(known.hours_until // DAY, hours_until // DAY))
        _sum_days(c, sorted(day for day in days if day < hours_until // DAY))
        c.execute("DELETE FROM cost_bin_marks")
        first = min([known.first, *quiet]) // DAY * DAY  # no call lies before, else its minute were touched
        end = max([known.end, tens_until, *(minute + 1 for minute in quiet)])
        c.execute("INSERT INTO cost_bin_marks VALUES (?, ?, ?, ?)", [first, hours_until, end, tens_until])
    return int(written)


def name_rows(c: Cursor, periods: Sequence[Stretch]) -> None:
    """Define `cost_rows()` on this cursor: rows as `rows_sql` says, else calls. `owned_calls()` must be defined."""
    c.execute(f"CREATE OR REPLACE TEMP MACRO cost_rows() AS TABLE {rows_sql(c, periods, hourly=True) or CALLS}")


def rows_sql(c: Cursor, periods: Sequence[Stretch], *, hourly: bool) -> str | None:
    """SQL of rows as those of CALLS over `periods`, bins where possible; without a value of single calls.

    `hourly`: of each row its hour is told, else its day alone. None where bins do not help.
    """
    if (mark := read_mark(c)) is None:
        return None
    found = [extents(mark, from_ns, to_ns) for from_ns, to_ns in periods]
    bins, calls = ([extent for each in found for extent in each[side]] for side in (0, 1))
    if not bins or len(bins) + len(calls) > MOST_EXTENTS:
        return None
    days, bins = ([], bins) if hourly else whole_days(mark, bins)
    single = f"SELECT start_ns, call_group, {', '.join(_SUMS)} FROM ({CALLS}) WHERE {within('start_ns', calls)}"
    summed = [
        f"SELECT {at} * {size} AS start_ns, call_group, {', '.join(_SUMS)} FROM {table} WHERE {within(at, some)}"
        for at, size, table, some in (
            ("minute", MINUTE_NS, "cost_bins", bins),
            ("day", DAY * MINUTE_NS, "cost_days", days),
        )
    ]
    return f"SELECT *, {_NOBODY} FROM ({' UNION ALL '.join([single, *summed])})"


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
# In order of time, so that a question reads its own part of the table alone.
_AGAIN = f"""
INSERT INTO cost_bins BY NAME
SELECT w.minute, w.minutes, first_group AS call_group, {_SUMMED}
FROM ({CALLS.replace("owned_calls()", "(SELECT *, true AS counted FROM calls)")}) c
JOIN first_groups USING (call_group)
JOIN wanted_bins w ON w.minute = CASE
    WHEN c.start_ns < $hours_ns THEN c.start_ns // {HOUR * MINUTE_NS} * {HOUR}
    WHEN c.start_ns < $tens_ns THEN c.start_ns // {TEN * MINUTE_NS} * {TEN}
    ELSE c.start_ns // {MINUTE_NS} END
WHERE c.start_ns >= $from_ns AND c.start_ns < $to_ns
GROUP BY ALL
ORDER BY minute
"""
_FOLD = f"""
INSERT INTO cost_bins BY NAME
SELECT minute // {{size}} * {{size}} AS minute, {{size}} AS minutes, call_group, {_SUMMED}
FROM cost_bins WHERE minutes < {{size}} AND minute < ?
GROUP BY ALL
ORDER BY minute
"""
_DAYS = f"""
INSERT INTO cost_days BY NAME
SELECT minute // {DAY} AS day, call_group, {_SUMMED}
FROM cost_bins WHERE minute >= ? AND minute < ?
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


def _sum_days(c: Cursor, days: Sequence[int]) -> None:
    """Sum these days from their hours."""
    for day in days:
        c.execute("DELETE FROM cost_days WHERE day = ?", [day])
        c.execute(_DAYS, [day * DAY, (day + 1) * DAY])


def _sum_again(c: Cursor, wanted: Sequence[Stretch], mark: Mark) -> int:
    if not wanted:
        return 0
    c.execute(
        "CREATE OR REPLACE TEMP TABLE wanted_bins AS "
        "SELECT unnest(?::INTEGER[]) AS minute, unnest(?::INTEGER[]) AS minutes",
        [[first for first, _ in wanted], [end - first for first, end in wanted]],
    )
    c.execute("DELETE FROM cost_bins WHERE minute IN (SELECT minute FROM wanted_bins)")
    bounds = {"from_ns": wanted[0][0] * MINUTE_NS, "to_ns": wanted[-1][1] * MINUTE_NS}
    sizes = {"hours_ns": mark.hours_until * MINUTE_NS, "tens_ns": mark.tens_until * MINUTE_NS}
    written = int(c.execute(_AGAIN, bounds | sizes).fetchall()[0][0])
    emitter_checks.sum_again(c, wanted)
    return written
