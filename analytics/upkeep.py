"""Looking after the store: deleting what is too old; folding the log and giving memory back while nothing happens."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from analytics import arrival_sums, cost_bins, emitter_checks
from analytics.runs import BATCH_NS
from collector.semconv import Flag
from collector.store import Cursor, Store

DAY_NS = 86_400 * 10**9
IDLE_NS = 5 * 10**9
REST_NS = 60 * 10**9
HORIZON = "horizon_ns"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deleted:
    """What a retention job deleted."""

    batches: int
    spans: int
    runs: int


def delete_old(store: Store, now_ns: int, retention_days: float, announce: Callable[[int], None]) -> Deleted:
    """Delete the batches that arrived more than `retention_days` ago and the runs that got nothing since.

    The horizon, the latest start of any deleted span, moves along and is announced (to ingest) first, so that what
    was deleted cannot be counted again when it is sent again. Times that cannot be believed do not move it: such
    spans are never counted.
    """
    before_ns = now_ns - int(retention_days * DAY_NS)
    batch = before_ns // BATCH_NS
    with store.transaction() as c:
        start_ns, spans, batches = _one(
            c,
            f"SELECT max(start_ns) FILTER (flags & {int(Flag.TIME_ABSURD)} = 0), count(*), count(DISTINCT batch) "
            "FROM spans WHERE batch < ?",
            batch,
        )
        if not spans:
            return Deleted(0, 0, 0)
        announce(_move_horizon(c, start_ns))
        for table in ("span_log", "message_tool_calls", "ingest_events", "metric_points"):
            c.execute(f"DELETE FROM {table} WHERE batch < ?", [batch])
        c.execute("DELETE FROM runless_traces WHERE first_batch < ?", [batch])
        (runs,) = _one(c, "SELECT count(*) FROM runs WHERE arrived_ns < ?", before_ns)
        old_runs = "SELECT (trace_hi, trace_lo, run_span) FROM runs WHERE arrived_ns < ?"
        of_old_runs = f"(trace_hi, trace_lo, run_span) IN ({old_runs})"
        cost_bins.touch_where(c, of_old_runs, [before_ns], now_ns)
        emitter_checks.touch(c, batch, now_ns)
        arrival_sums.touch(c, batch)
        for table in ("calls", "findings"):
            c.execute(f"DELETE FROM {table} WHERE {of_old_runs}", [before_ns])
        c.execute("DELETE FROM runs WHERE arrived_ns < ?", [before_ns])
    deleted = Deleted(batches, spans, runs)
    log.info("retention deleted old spans", extra={"deleted": deleted, "retention_days": retention_days})
    return deleted


def checkpoint_when_idle(store: Store, now_ns: int) -> bool:
    """Fold the write-ahead log into the file if nothing arrived for five seconds; says whether it did."""
    if not store.wal_bytes() or _arrived_since(store, now_ns - IDLE_NS):
        return False
    store.checkpoint()
    return True


def rest_when_idle(store: Store, now_ns: int) -> bool:
    """Give memory back if nothing arrived for a minute; says whether it did."""
    return not _arrived_since(store, now_ns - REST_NS) and store.release_cache()


def _arrived_since(store: Store, since_ns: int) -> bool:
    with store.cursor() as c:
        arrived = f"SELECT count(*) FROM span_log WHERE batch > ? AND flags & {int(Flag.SELF_CHECK)} = 0"
        return _one(c, arrived, since_ns // BATCH_NS)[0] > 0


def _move_horizon(cursor: Cursor, start_ns: int | None) -> int:
    """The horizon only moves forward."""
    row = cursor.execute("SELECT value FROM store_facts WHERE fact = ?", [HORIZON]).fetchone()
    horizon = max(int(row[0]) if row else 0, start_ns or 0)
    cursor.execute("DELETE FROM store_facts WHERE fact = ?", [HORIZON])
    cursor.execute("INSERT INTO store_facts VALUES (?, ?)", [HORIZON, str(horizon)])
    return horizon


def _one(cursor: Cursor, query: str, value: int) -> tuple[int, ...]:
    row = cursor.execute(query, [value]).fetchone()
    assert row is not None
    return row
