"""Checks of emitters that need calls and runs beside their spans, summed in the bins of `analytics.cost_bins`.

Runs and calls change with their minutes touched (see there), so the sums of quiet minutes stand; the rest is looked at
anew. Of what a remap has changed before the runs job has looked at it, nothing is taken from sums.
"""

from collections.abc import Sequence

from analytics.arrival_sums import HOUR_MS, remap_waits
from analytics.frames import query
from analytics.minute_bins import MINUTE_NS, MOST_EXTENTS, extents, read_mark
from analytics.stretches import Stretch, within
from collector.store import Cursor

_EVER = (-(2**62), 2**62)
_SUMS = "sum(told)::BIGINT AS told, sum(differing)::BIGINT AS differing, sum(without_usage)::BIGINT AS without_usage"


def sum_again(c: Cursor, wanted: Sequence[Stretch]) -> None:
    """Sum these bins (minutes), which the temporary table `wanted_bins` holds too."""
    times = [(first * MINUTE_NS, end * MINUTE_NS) for first, end in wanted]
    _look(c, times if len(times) <= MOST_EXTENTS else [(times[0][0], times[-1][1])], "true")
    c.execute("DELETE FROM emitter_checks WHERE minute IN (SELECT minute FROM wanted_bins)")
    c.execute(f"""INSERT INTO emitter_checks BY NAME
        SELECT w.minute, w.minutes, hour, dialect, scope, scope_version, {_SUMS}
        FROM ({query("emitter_checks")}) found
        JOIN wanted_bins w ON found.minute >= w.minute AND found.minute < w.minute + w.minutes
        GROUP BY ALL""")


def fold(c: Cursor, size: int, until: int) -> None:
    """Make one bin of so many minutes of those before `until` that are smaller."""
    old = f"WHERE minutes < {size} AND minute < {until}"
    c.execute(f"""INSERT INTO emitter_checks BY NAME
        SELECT minute // {size} * {size} AS minute, {size} AS minutes, hour, dialect, scope, scope_version, {_SUMS}
        FROM emitter_checks {old} GROUP BY ALL""")
    c.execute(f"DELETE FROM emitter_checks {old}")


def touch(c: Cursor, batch: int, now_ns: int) -> None:
    """Note that spans before `batch` are deleted in the cursor's transaction."""
    minutes = "SELECT DISTINCT minute, ? FROM emitter_checks WHERE hour <= ?"
    c.execute(f"INSERT INTO touched_cost_minutes {minutes}", [now_ns, batch // HOUR_MS])


def name_checks(c: Cursor, from_ms: int, to_ms: int) -> None:
    """Make the checks of spans that arrived in [from_ms, to_ms) known to the cursor as the relation `checks`."""
    mark = read_mark(c)
    ((looked,),) = c.execute("SELECT coalesce(max(place), 0) FROM remap_watermark").fetchall()
    summed = mark is not None and not (from_ms % HOUR_MS or to_ms % HOUR_MS or remap_waits(c, looked))
    bins, rest = extents(mark, *_EVER) if mark and summed else ([], [_EVER])
    if len(bins) + len(rest) > MOST_EXTENTS:
        bins, rest = [], [_EVER]
    _look(c, rest, within("batch", [(from_ms, to_ms)]))
    hours = within("hour", [(from_ms // HOUR_MS, to_ms // HOUR_MS)])
    sums = f"SELECT * EXCLUDE minutes FROM emitter_checks WHERE ({within('minute', bins)}) AND ({hours})"
    c.register("checks", c.sql(f"({query('emitter_checks')}) UNION ALL BY NAME {sums}").to_arrow_table())


def _look(c: Cursor, stretches: Sequence[Stretch], spans: str) -> None:
    """Which calls and runs (by start) and spans the query looks at; of spans those alone that can belong to them."""
    ((first_ns, ended_ns),) = c.execute(
        f"SELECT min(first_ns), max(ended_ns) FROM runs WHERE {within('started_ns', stretches)}"
    ).fetchall()
    times = stretches if first_ns is None else [*stretches, (first_ns, ended_ns + 1)]
    known = "batch <= coalesce((SELECT max(batch) FROM watermarks WHERE job = 'runs'), batch)"
    for name, where in (
        ("calls", within("start_ns", stretches)),
        ("runs", within("started_ns", stretches)),
        ("spans", f"({spans}) AND ({within('start_ns', times)}) AND {known}"),
    ):
        c.execute(f"CREATE OR REPLACE TEMP MACRO checked_{name}() AS TABLE SELECT * FROM {name} WHERE {where}")
