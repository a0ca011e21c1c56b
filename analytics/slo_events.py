"""Good and bad events of every SLO, by minute: counted from `runs` and `calls` in DuckDB, kept in `slo_minutes`.

Only minutes that somebody touched are counted again, always as a whole and from the rows themselves, so
that late spans, repricing and retention correct the past and the counts equal a full recomputation.
Cursor in, frames out; the caller owns the transaction.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import polars as pl

from analytics import calendars
from analytics.slo import MINUTE_NS, Condition, Op, Slo
from analytics.tenants import OTHERS, UTC, TimeZones
from collector.store import Cursor, insert

SPEND_MINUTES = 2 * 1440
_SPEND = "*spend"  # stands beside the SLOs in slo_definitions; no SLO can have such a name
_GAP_MINUTES = 60


@dataclass(frozen=True)
class Measure:
    """A number of an event. `scale` turns the unit of the name into the column's own; `known` is SQL."""

    sql: str
    scale: int = 1
    known: str = "TRUE"


@dataclass(frozen=True)
class Source:
    """What an SLO can count. `event`: SQL that holds for what counts; the rest of the rows is `left_out`.

    `whole_days`: an event is a day by the tenant's clocks, which counts in its last minute.
    """

    table: str
    time: str
    event: str
    texts: dict[str, str]
    measures: dict[str, Measure]
    whole_days: bool = False


def _texts(*names: str) -> dict[str, str]:
    return {name: f'"{name}"' for name in names}


_WHO = ("tenant", "user", "session", "agent", "agent_version", "environment", "service", "service_version", "dialect")
_CALLS = "(SELECT * FROM calls JOIN call_groups USING (call_group) WHERE kind = '{kind}')"
# Of the days in the frame `local_days`, each of one time zone; `tenant_zones` names tenants with one of their own.
_DAYS = """(
    SELECT {who}, last_ns, coalesce(sum(cost_pusd), 0)::BIGINT AS spent_pusd, count(*) AS calls,
        count(*) FILTER (pricing IN ('unpriced', 'unknown')) AS open_calls
    FROM calls JOIN call_groups USING (call_group) LEFT JOIN tenant_zones USING (tenant)
    JOIN local_days d ON d.zone = coalesce(tenant_zones.zone, '{{others}}') AND start_ns BETWEEN first_ns AND last_ns
    WHERE start_ns >= {{from_ns}} AND start_ns < {{to_ns}} AND {named} GROUP BY {who}, last_ns)"""
_DAY_MEASURES = {
    "spent_usd": Measure("spent_pusd", 10**12, "open_calls = 0"),
    "calls": Measure("calls"),
}
_CALL_COST = Measure("cost_pusd", 10**12, "cost_pusd IS NOT NULL")

SOURCES: dict[str, Source] = {
    "runs": Source(
        table="runs",
        time="started_ns",
        event="status IN ('ok', 'error', 'stuck')",
        texts=_texts(*_WHO, "client", "status", "error_reason"),
        measures={
            # A failed call without usage is taken to cost nothing; any other gap leaves the cost unknown.
            "cost_usd": Measure(
                "cost_pusd",
                10**12,
                "cost_pusd IS NOT NULL AND unpriced_calls = 0 AND unknown_calls <= llm_errors",
            ),
            # A stuck run never ended: longer than any threshold.
            "duration_ms": Measure(f"if(status = 'stuck', {2**63 - 1}, ended_ns - started_ns)", 10**6),
            "wasted_usd": Measure("wasted_pusd", 10**12),
            **{
                name: Measure(name)
                for name in (
                    *("input_tokens", "output_tokens", "steps", "llm_calls", "llm_errors", "tool_calls"),
                    *("tool_errors", "tool_denied", "policy_denials", "retries", "findings"),
                )
            },
        },
    ),
    "tools": Source(
        table=_CALLS.format(kind="tool.call"),
        time="start_ns",
        event="status <> 'denied'",
        texts=_texts(*_WHO, "tool", "tool_server", "status", "error_reason"),
        measures={"duration_ms": Measure("duration_ns", 10**6, "NOT derived"), "cost_usd": _CALL_COST},
    ),
    "models": Source(
        table=_CALLS.format(kind="llm.call"),
        time="start_ns",
        event="TRUE",
        texts=_texts(*_WHO, "model", "provider", "status", "error_reason", "pricing"),
        measures={
            "duration_ms": Measure("duration_ns", 10**6, "NOT derived"),
            "cost_usd": _CALL_COST,
            "input_tokens": Measure("input_tokens", 1, "input_tokens IS NOT NULL"),
            "output_tokens": Measure("output_tokens", 1, "output_tokens IS NOT NULL"),
        },
    ),
    "tenant_days": Source(
        table=_DAYS.format(who="tenant", named="TRUE"),
        time="last_ns",
        event="TRUE",
        texts=_texts("tenant"),
        measures=_DAY_MEASURES,
        whole_days=True,
    ),
    "user_days": Source(
        table=_DAYS.format(who='tenant, "user"', named='"user" IS NOT NULL'),
        time="last_ns",
        event="TRUE",
        texts=_texts("tenant", "user"),
        measures=_DAY_MEASURES,
        whole_days=True,
    ),
}

_TOUCH_PLACES = f"""
INSERT INTO touched_minutes
WITH here AS (SELECT start_ns, trace_hi, trace_lo, run_span FROM calls WHERE rowid IN (SELECT place FROM places))
SELECT start_ns // {MINUTE_NS} FROM here
UNION
SELECT started_ns // {MINUTE_NS} FROM runs SEMI JOIN here USING (trace_hi, trace_lo, run_span)
"""
_COMPARE = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_BEYOND: dict[Op, Op] = {"lt": "gte", "lte": "gt"}


def touch(cursor: Cursor, minutes: Iterable[int]) -> None:
    """Note that runs or calls of these minutes (`start_ns // MINUTE_NS`) change in the cursor's transaction.

    To be called with the minutes of the rows that go and of the rows that come.
    """
    if distinct := sorted(set(minutes)):
        cursor.execute("INSERT INTO touched_minutes SELECT unnest(?::INTEGER[])", [distinct])


def touch_places(cursor: Cursor) -> None:
    """`touch` the minutes of the calls whose rowid is in the table `places`, and of their runs."""
    cursor.execute(_TOUCH_PLACES)


def refresh(cursor: Cursor, slos: Sequence[Slo], now_ns: int, zones: TimeZones = UTC) -> bool:
    """Bring `slo_minutes` and `spend_minutes` up to date; True where anything was counted again.

    Days are those of `zones`. Touched minutes are consumed. An SLO with a new definition is counted over its whole
    period, and one that is gone is forgotten.
    """
    current = now_ns // MINUTE_NS
    touched = [row[0] for row in cursor.execute("DELETE FROM touched_minutes RETURNING minute").fetchall()]
    known = dict(cursor.execute("SELECT slo, definition FROM slo_definitions").fetchall())
    wanted = {slo.name: _definition(slo, zones) for slo in slos} | {_SPEND: "1"}
    stale = [name for name in known if wanted.get(name) != known[name]]
    new = [name for name in wanted if known.get(name) != wanted[name]]
    if not touched and not stale and not new:
        return False
    for name in stale:
        cursor.execute("DELETE FROM slo_minutes WHERE series IN (SELECT series FROM slo_series WHERE slo = ?)", [name])
        cursor.execute("DELETE FROM slo_series WHERE slo = ?", [name])
        cursor.execute("DELETE FROM slo_definitions WHERE slo = ?", [name])
    for first, last in _ranges(touched, 0, whole=False):
        cursor.execute(f"DELETE FROM slo_minutes WHERE {_bounds('minute', first, last)}")
    for slo in slos:
        for first, last in _ranges(touched, current - slo.kept_minutes, whole=slo.name in new):
            if SOURCES[slo.source].whole_days:
                _recount_days(cursor, slo, first, current if last is None else last, zones)
            else:
                _recount(cursor, slo, first, last, {})
    for first, last in _ranges(touched, current - SPEND_MINUTES, whole=_SPEND in new):
        _recount_spend(cursor, first, last)
    for name in new:
        cursor.execute("INSERT INTO slo_definitions VALUES (?, ?)", [name, wanted[name]])
    _forget(cursor, slos, current)
    return True


def window_counts(
    cursor: Cursor, windows: Sequence[tuple[str, int]], now_ns: int, planned: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Events of every series over `windows`: (SLO, minutes), the current minute included.

    Columns `slo, series, labels, window_minutes, good, bad, left_out, planned_good, planned_bad`: the last two are the
    events of the minutes of `planned` maintenance (`maintenance.planned`), which are in none of the others. An SLO
    without `group_by` always has its one series. Reads back to the longest window.
    """
    if not windows:
        return pl.DataFrame(schema=_COUNTS)
    end = now_ns // MINUTE_NS + 1
    lengths = sorted({minutes for _, minutes in windows})
    smallest = " ".join(f"WHEN minute >= {end - minutes} THEN {minutes}" for minutes in lengths)
    sums = cursor.sql(
        f"""SELECT series, CASE {smallest} END AS bucket, {is_planned(cursor, planned)} AS planned,
                sum(good)::BIGINT AS good, sum(bad)::BIGINT AS bad, sum(left_out)::BIGINT AS left_out
            FROM slo_minutes WHERE minute >= {end - lengths[-1]} AND minute < {end} GROUP BY ALL"""
    ).pl()
    series = cursor.sql("SELECT series, slo, labels FROM slo_series").pl()
    wanted = pl.LazyFrame(windows, schema={"slo": pl.String, "window_minutes": pl.Int32}, orient="row")
    inside, work = pl.col("bucket") <= pl.col("window_minutes"), pl.col("planned")
    totals = [pl.col(c).filter(inside & ~work).sum() for c in ("good", "bad", "left_out")]
    totals += [pl.col(c).filter(inside & work).sum().alias(f"planned_{c}") for c in ("good", "bad")]
    return (
        wanted.join(series.lazy(), on="slo")
        .join(sums.lazy(), on="series", how="left")
        .group_by("slo", "series", "labels", "window_minutes")
        .agg(*totals)
        .select(_COUNTS.names())
        .sort("slo", "series", "window_minutes")
        .collect()
    )


def is_planned(cursor: Cursor, planned: pl.DataFrame | None) -> str:
    """SQL that holds for the rows of `slo_minutes` that lie in planned maintenance; makes the cursor ready for it."""
    if planned is None or planned.is_empty():
        return "FALSE"
    cursor.register("planned", planned)
    within = "minute >= first_minute AND minute < end_minute"
    return f"EXISTS (FROM planned JOIN slo_series s USING (slo) WHERE s.series = slo_minutes.series AND {within})"


_COUNTS = pl.Schema(
    {
        "slo": pl.String,
        "series": pl.Int32,
        "labels": pl.String,
        "window_minutes": pl.Int32,
        "good": pl.Int64,
        "bad": pl.Int64,
        "left_out": pl.Int64,
        "planned_good": pl.Int64,
        "planned_bad": pl.Int64,
    }
)


def spend_today(cursor: Cursor, zones: TimeZones, now_ns: int) -> list[tuple[str, str, int, int]]:
    """What each tenant spent since its midnight: tenant, time zone, 10^-12 USD, calls of unknown cost."""
    minute = now_ns // MINUTE_NS
    spent = []
    for zone in zones.zones:
        midnight, _ = calendars.day(zone, minute)
        rows = cursor.execute(
            """SELECT tenant, sum(cost_pusd), sum(unpriced)::BIGINT FROM spend_minutes
               WHERE minute >= ? AND minute <= ? GROUP BY tenant""",
            [midnight, minute],
        ).fetchall()
        spent += [(tenant, zone, pusd, unpriced) for tenant, pusd, unpriced in rows if zones.of(tenant) == zone]
    return sorted(spent)


def event_sql(slo: Slo) -> tuple[str, str, str, list[object]]:
    """SQL of an SLO: (row filter, whether the row counts, whether it is good, parameters in that order)."""
    source = SOURCES[slo.source]
    filters, filter_values = _all(source, slo.filter)
    good, good_values = _all(source, slo.good)
    if slo.negated:
        good = f"NOT ({good})"
    counted = source.event
    counted_values: list[object] = []
    if slo.threshold:
        (condition,) = slo.good
        known = source.measures[condition.column].known
        if condition.op in _BEYOND:  # what is known so far is a lower bound: over the limit is over for good
            over, counted_values = _test(source, replace(condition, op=_BEYOND[condition.op]))
            known = f"{known} OR {over}"
        counted = f"{source.event} AND ({known})"
    return filters, counted, good, [*counted_values, *good_values, *filter_values]


def _definition(slo: Slo, zones: TimeZones) -> str:
    days = (zones,) if SOURCES[slo.source].whole_days else ()
    return repr((slo.source, slo.filter, slo.good, slo.negated, slo.threshold, slo.group_by, slo.kept_minutes, *days))


def _all(source: Source, conditions: Sequence[Condition]) -> tuple[str, list[object]]:
    parts, values = ["TRUE"], []
    for condition in conditions:
        part, more = _test(source, condition)
        parts.append(part)
        values += more
    return " AND ".join(parts), values


def _test(source: Source, condition: Condition) -> tuple[str, list[object]]:
    if condition.op in _COMPARE:
        measure = source.measures[condition.column]
        limit = int((Decimal(condition.values[0]) * measure.scale).to_integral_value())
        return f"coalesce({measure.sql} {_COMPARE[condition.op]} ?, FALSE)", [limit]
    column = source.texts[condition.column]
    tests = " OR ".join(f"{column} GLOB ?" if "*" in v else f"{column} = ?" for v in condition.values)
    values: list[object] = [v.replace("[", "[[]").replace("?", "[?]") if "*" in v else v for v in condition.values]
    test = f"coalesce({tests}, FALSE)"
    return (f"NOT {test}" if condition.op == "not_in" else test), values


def _ranges(minutes: Iterable[int], oldest: int, *, whole: bool) -> list[tuple[int, int | None]]:
    """Touched minutes since `oldest` as few closed ranges (gaps under an hour are counted along), or all of it."""
    if whole:
        return [(oldest, None)]
    ranges: list[tuple[int, int | None]] = []
    for minute in sorted({m for m in minutes if m >= oldest}):
        if ranges and minute - (ranges[-1][1] or 0) <= _GAP_MINUTES:
            ranges[-1] = (ranges[-1][0], minute)
        else:
            ranges.append((minute, minute))
    return ranges


def _bounds(column: str, first: int, last: int | None, unit: int = 1) -> str:
    upper = "" if last is None else f" AND {column} < {(last + 1) * unit}"
    return f"{column} >= {first * unit}{upper}"


def _recount_days(cursor: Cursor, slo: Slo, first: int, last: int, zones: TimeZones) -> None:
    """Count one SLO over whole days again: all that hold one of the minutes `first` to `last`, in any time zone."""
    extents = [calendars.day(zone, minute) for zone in zones.zones for minute in (first, last)]
    begin, end = min(b for b, _ in extents), max(e for _, e in extents)
    local = [(zone, *d) for zone in zones.zones for d in calendars.days(zone, begin, end)]
    extent = {"from_ns": min(b for _, b, _ in local) * MINUTE_NS, "to_ns": end * MINUTE_NS}
    columns = {"zone": pl.String, "first": pl.Int64, "after": pl.Int64}
    frame = pl.DataFrame(local, schema=columns, orient="row").select(
        "zone", first_ns=pl.col("first") * MINUTE_NS, last_ns=pl.col("after") * MINUTE_NS - 1
    )
    cursor.register("local_days", frame)
    named = {"tenant": list(zones.named), "zone": list(zones.named.values())}
    cursor.register("tenant_zones", pl.DataFrame(named, schema={"tenant": pl.String, "zone": pl.String}))
    of_slo = "series IN (SELECT series FROM slo_series WHERE slo = ?)"
    cursor.execute(f"DELETE FROM slo_minutes WHERE {of_slo} AND {_bounds('minute', begin, end - 1)}", [slo.name])
    _recount(cursor, slo, begin, end - 1, {"others": zones.of(OTHERS), **extent})


def _recount(cursor: Cursor, slo: Slo, first: int, last: int | None, days: dict[str, object]) -> None:
    """Count one SLO from minute `first` to `last` (included; None: no end). `days`: what a table of days asks for."""
    source = SOURCES[slo.source]
    filters, counted, good, values = event_sql(slo)
    groups = ", ".join(f"{source.texts[g]} AS g{i}" for i, g in enumerate(slo.group_by))
    labels = ", ".join(f"'{g}', g{i}" for i, g in enumerate(slo.group_by))
    counts = cursor.sql(
        f"""SELECT json_object({labels})::VARCHAR AS labels, minute,
                count(*) FILTER (counted AND good) AS good, count(*) FILTER (counted AND NOT good) AS bad,
                count(*) FILTER (NOT counted) AS left_out
            FROM (SELECT ({source.time} // {MINUTE_NS})::INTEGER AS minute, {groups + "," if groups else ""}
                    ({counted}) AS counted, ({good}) AS good
                FROM {source.table.format(**days)} WHERE {_bounds(source.time, first, last, MINUTE_NS)} AND ({filters}))
            GROUP BY ALL""",
        params=values,
    ).pl()
    series = _series(cursor, slo, counts["labels"].unique().to_list())
    rows = counts.join(series, on="labels").select("series", "minute", "good", "bad", "left_out")
    insert(cursor, "slo_minutes", rows.to_arrow())


def _series(cursor: Cursor, slo: Slo, labels: list[str]) -> pl.DataFrame:
    """Numbers of an SLO's series, new ones given out; `series, labels`."""
    known = dict(cursor.execute("SELECT labels, series FROM slo_series WHERE slo = ?", [slo.name]).fetchall())
    new = sorted(set(labels if slo.group_by else [json.dumps({})]) - known.keys())
    if new:
        (highest,) = cursor.execute("SELECT coalesce(max(series), 0) FROM slo_series").fetchone() or (0,)
        numbers = {text: highest + i for i, text in enumerate(new, 1)}
        cursor.execute(
            "INSERT INTO slo_series SELECT unnest(?::INTEGER[]), ?, unnest(?::VARCHAR[])",
            [list(numbers.values()), slo.name, list(numbers)],
        )
        known |= numbers
    return pl.DataFrame(
        {"series": list(known.values()), "labels": list(known)}, schema={"series": pl.Int32, "labels": pl.String}
    )


def _recount_spend(cursor: Cursor, first: int, last: int | None) -> None:
    cursor.execute(f"DELETE FROM spend_minutes WHERE {_bounds('minute', first, last)}")
    cursor.execute(
        f"""INSERT INTO spend_minutes
            SELECT tenant, (start_ns // {MINUTE_NS})::INTEGER AS minute, coalesce(sum(cost_pusd), 0)::BIGINT,
                count(*) FILTER (pricing IN ('unpriced', 'unknown'))
            FROM calls JOIN call_groups USING (call_group)
            WHERE {_bounds("start_ns", first, last, MINUTE_NS)} GROUP BY ALL"""
    )


def _forget(cursor: Cursor, slos: Sequence[Slo], current: int) -> None:
    """Drop minutes that no window can reach any more."""
    longest = max((slo.kept_minutes for slo in slos), default=0)
    cursor.execute("DELETE FROM slo_minutes WHERE minute < ?", [current - longest])
    cursor.execute("DELETE FROM spend_minutes WHERE minute < ?", [current - SPEND_MINUTES])
