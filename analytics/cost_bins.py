"""Calls summed by minute and hour, so that a question about costs reads what is new instead of every call.

Reading takes bins where nothing has changed and calls everywhere else (`extents`), in one transaction: the answer is
the same as from the calls alone, to the last digit. A minute is summed again once it has been quiet for a while; hours
that are past for long become one bin.
"""

from collections.abc import Iterable, Sequence

from analytics import emitter_checks
from analytics.minute_bins import HOUR, MINUTE_NS, MOST_EXTENTS, Mark, extents, read_mark
from analytics.stretches import Stretch, within
from collector.store import Cursor, Store

QUIET_NS = 15 * 10**9
"""A minute that was touched later than this is read from its calls: it is likely to be touched again."""
LATE_MINUTES = 15
"""So long after its end an hour becomes one bin."""

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
        hours_until = (now_ns // MINUTE_NS - LATE_MINUTES) // HOUR * HOUR
        mark = mark or Mark(min(quiet), hours_until, max(quiet) + 1)
        hours_until = max(hours_until, mark.hours_until)
        _name_groups(c)
        written = _sum_again(c, sorted({mark.bin_of(minute) for minute in quiet}), mark.hours_until)
        written += c.execute(_FOLD, [hours_until]).fetchall()[0][0]
        c.execute("DELETE FROM cost_bins WHERE minutes = 1 AND minute < ?", [hours_until])
        emitter_checks.fold(c, hours_until)
        c.execute("DELETE FROM cost_bin_marks")
        first = min([mark.first, *quiet]) // HOUR * HOUR  # no call lies before, else its minute were touched
        end = max([mark.end, hours_until, *(minute + 1 for minute in quiet)])
        c.execute("INSERT INTO cost_bin_marks VALUES (?, ?, ?)", [first, hours_until, end])
    return int(written)


def name_rows(c: Cursor, periods: Sequence[Stretch]) -> None:
    """Define `cost_rows()` on this cursor: rows as `rows_sql` says, else calls. `owned_calls()` must be defined."""
    c.execute(f"CREATE OR REPLACE TEMP MACRO cost_rows() AS TABLE {rows_sql(c, periods) or CALLS}")


def rows_sql(c: Cursor, periods: Sequence[Stretch]) -> str | None:
    """SQL of rows as those of CALLS over `periods`, bins where possible; without a value of single calls.

    None where bins do not help.
    """
    if (mark := read_mark(c)) is None:
        return None
    found = [extents(mark, from_ns, to_ns) for from_ns, to_ns in periods]
    bins, calls = ([extent for each in found for extent in each[side]] for side in (0, 1))
    if not bins or len(bins) + len(calls) > MOST_EXTENTS:
        return None
    single = f"SELECT start_ns, call_group, {', '.join(_SUMS)} FROM ({CALLS}) WHERE {within('start_ns', calls)}"
    summed = f"SELECT minute * {MINUTE_NS} AS start_ns, call_group, {', '.join(_SUMS)} FROM cost_bins"
    return f"SELECT *, {_NOBODY} FROM ({single} UNION ALL {summed} WHERE {within('minute', bins)})"


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


def _sum_again(c: Cursor, wanted: Sequence[Stretch], hours_until: int) -> int:
    if not wanted:
        return 0
    c.execute(
        "CREATE OR REPLACE TEMP TABLE wanted_bins AS "
        "SELECT unnest(?::INTEGER[]) AS minute, unnest(?::INTEGER[]) AS minutes",
        [[first for first, _ in wanted], [end - first for first, end in wanted]],
    )
    c.execute("DELETE FROM cost_bins WHERE minute IN (SELECT minute FROM wanted_bins)")
    bounds = {"from_ns": wanted[0][0] * MINUTE_NS, "to_ns": wanted[-1][1] * MINUTE_NS}
    written = int(c.execute(_AGAIN, bounds | {"hours_ns": hours_until * MINUTE_NS}).fetchall()[0][0])
    emitter_checks.sum_again(c, wanted, hours_until)
    return written
