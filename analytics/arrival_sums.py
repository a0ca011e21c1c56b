"""Arrived spans summed by hour and emitter, so that the ledger of ingestion reads what is new instead of every span.

Spans are added in order of arrival, so new ones only ever add to the sums. Reading takes the sums of whole hours and
the spans of everything else, in one transaction: the answer is the same as from the spans alone.
"""

from collections.abc import Sequence
from typing import Any

from analytics.frames import query
from analytics.stretches import Stretch, within, without
from collector.store import Cursor, Store

HOUR_MS = 3_600_000
_KEYS = "hour, signal, tenant, dialect, scope, scope_version, kind, mapping"
_SUMS = f"sum(COLUMNS(* EXCLUDE ({_KEYS})))::BIGINT"


def touch(c: Cursor, batch: int) -> None:
    """Note that spans before `batch` are deleted in the cursor's transaction."""
    hours = "SELECT DISTINCT hour FROM arrival_sums WHERE hour <= ?"
    c.execute(f"INSERT INTO touched_arrival_hours {hours}", [batch // HOUR_MS])


def refresh(store: Store) -> int:
    """Add what arrived since the last time, and sum again what a remap or a deletion has changed; how many hours were
    written. A job of the schedule."""
    with store.transaction() as c:
        before, seen = _mark(c)
        ((newest, place),) = c.execute(
            "SELECT (SELECT max(batch) FROM span_log), (SELECT coalesce(max(place), 0) FROM remapped_traces)"
        ).fetchall()
        again = {row[0] for row in c.execute("DELETE FROM touched_arrival_hours RETURNING hour").fetchall()}
        if place > seen:
            again |= {row[0] for row in c.execute(_REMAPPED, [seen, before]).fetchall()}
        upto = before if newest is None else max(before, newest)
        if upto == before and not again and place == seen:
            return 0
        changed = [(hour * HOUR_MS, min((hour + 1) * HOUR_MS, before + 1)) for hour in sorted(again)]
        _read(c, [*changed, (before + 1, upto + 1)])
        c.execute(f"CREATE OR REPLACE TEMP TABLE fresh_arrivals AS {query('arrivals')}")
        gone = "hour IN (SELECT unnest(?::INTEGER[]))"
        c.execute(f"DELETE FROM arrival_sums WHERE {gone}", [list(again)])
        c.execute("INSERT INTO fresh_arrivals BY NAME FROM arrival_sums SEMI JOIN fresh_arrivals USING (hour)")
        c.execute("DELETE FROM arrival_sums WHERE hour IN (SELECT hour FROM fresh_arrivals)")
        c.execute(
            f"INSERT INTO arrival_sums BY NAME SELECT {_KEYS}, {_SUMS} FROM fresh_arrivals GROUP BY ALL ORDER BY hour"
        )
        c.execute("DELETE FROM arrival_marks")
        c.execute("INSERT INTO arrival_marks VALUES (?, ?)", [upto, place])
        return int(c.execute("SELECT count(DISTINCT hour) FROM fresh_arrivals").fetchall()[0][0])


def name_arrivals(c: Cursor, from_ms: int, to_ms: int) -> None:
    """Define `arrivals()` on this cursor: what arrived in [from_ms, to_ms), as arrivals.sql answers."""
    hours, batches = _parts(c, from_ms, to_ms)
    _read(c, batches)
    both = f"({query('arrivals')}) UNION ALL BY NAME FROM arrival_sums WHERE {within('hour', hours)}"
    c.execute(f"CREATE OR REPLACE TEMP MACRO arrivals() AS TABLE {both}")


def remap_waits(c: Cursor, seen: int) -> bool:
    """Whether a remap has changed spans since place `seen` of the collector's remapped_traces."""
    return bool(c.execute("SELECT 1 FROM remapped_traces WHERE place > ? LIMIT 1", [seen]).fetchall())


def _parts(c: Cursor, from_ms: int, to_ms: int) -> tuple[list[Stretch], list[Stretch]]:
    """A period as hours to take from sums, and batches to take from spans."""
    before, seen = _mark(c)
    first, end = -(-from_ms // HOUR_MS), min(to_ms // HOUR_MS, before // HOUR_MS + 1)
    if first >= end or remap_waits(c, seen):
        return [], [(from_ms, to_ms)]
    touched = sorted(
        {row[0] for row in c.execute("SELECT hour FROM touched_arrival_hours").fetchall() if first <= row[0] < end}
    )
    hours = without(first, end, [(hour, hour + 1) for hour in touched])
    summed = [(a * HOUR_MS, min(b * HOUR_MS, before + 1)) for a, b in hours]
    return hours, without(from_ms, to_ms, summed)


def _read(c: Cursor, batches: Sequence[Stretch]) -> None:
    spans = f"SELECT * FROM span_log WHERE {within('batch', batches)}"
    c.execute(f"CREATE OR REPLACE TEMP MACRO arrived_spans() AS TABLE {spans}")


def _mark(c: Cursor) -> tuple[int, int]:
    """Until which batch spans are summed, and which remaps they show."""
    marks: list[Any] = c.execute("SELECT batch, place FROM arrival_marks").fetchall()
    return marks[0] if marks else (-1, 0)


_REMAPPED = f"""
SELECT DISTINCT batch // {HOUR_MS}
FROM span_log SEMI JOIN (SELECT trace_hi, trace_lo FROM remapped_traces WHERE place > ?) USING (trace_hi, trace_lo)
WHERE batch <= ?
"""
