"""Makes a store of many million spans in a minute or two: what a few thousand runs left, many times over.

    python -m bench.multiply --spans 20000000 --days 0.05 --data /tmp/spanledger-20m
    spanledger serve --data /tmp/spanledger-20m

The first runs are sample scenarios that went through the receiver and the jobs. Copies of their rows, in every table,
get ids of their own, later times of arrival and of start, and names from a thousand combinations of tenants and agents;
what the jobs would make of the copied spans is what was copied (tests/test_bench.py holds it). What is summed from
these rows is summed by its own jobs in the end.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from analytics import arrival_sums, cost_bins, slo_events
from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from analytics.slo import Slo
from bench.load import bodies
from collector.identity import Credential
from collector.ingest import Ingest
from collector.store import Cursor, Store
from dashboards.local import STORE_NAME

TENANTS, AGENTS, SESSIONS = 50, 20, 8
"""So many names one name becomes; sessions are multiplied by all three."""
VARIANTS = TENANTS * AGENTS
PLACES = 24
"""A copy's runs are spread over so many places of its stretch of time."""
AT_ONCE = 10
SEED_SPANS = 150_000
KEY = b"spanledger benchmark store key.."
SETTLED_NS = 3600 * 10**9
"""So long after the last arrival no status changes any more by the clock alone."""
MS = 10**6

_PLACED = f"""
SELECT t.*, c.copy, c.hi, c.lo, c.span,
    (1 + (trace_lo // 16 + c.copy) % {VARIANTS})::INTEGER AS variant,
    1 + variant % {TENANTS} AS tenant_variant,
    variant * {SESSIONS} + c.copy % {SESSIONS} AS session_variant,
    c.shift_ms + (trace_lo // 65536 % {PLACES})::BIGINT * c.step_ms // {PLACES} AS moved_ms
FROM {{table}} t, copies c
"""
_ADDED = "copy, hi, lo, span, variant, tenant_variant, session_variant, moved_ms"
_IDS = {"trace_hi": "xor(trace_hi, hi)", "trace_lo": "xor(trace_lo, lo)"}
_RUN = _IDS | {
    "run_span": "if(run_span = 0, 0, xor(run_span, span))",
    "tenant": "if(tenant = 'default', tenant, tenant || '-' || tenant_variant)",
    "agent": f"agent || '-' || variant // {TENANTS}",
    '"user"': "\"user\" || '-' || variant",
    "session": "session || '-' || session_variant",
}
_TRACE_ID = "printf('%016x%016x', xor(trace_hi, hi), xor(trace_lo, lo))"
_RUN_ID = f"{_TRACE_ID} || if(run_span = 0, '', printf('-%016x', xor(run_span, span)))"
_LATER = "{0} + moved_ms * 1000000"
COPIED = {  # table: its columns that differ from copy to copy
    "span_log": _IDS | {
        "batch": "batch + moved_ms", "span_id": "xor(span_id, span)",
        "parent_id": "if(parent_id = 0, 0, xor(parent_id, span))", "start_ns": _LATER.format("start_ns"),
        "facet": "facet + variant * (SELECT facets FROM strides)",
        "identity": "identity + session_variant * (SELECT identities FROM strides)",
        "source": "source + tenant_variant * (SELECT sources FROM strides)",
    },
    "message_tool_calls": _IDS | {"batch": "batch + moved_ms", "span_id": "xor(span_id, span)"},
    "runless_traces": _IDS | {"first_batch": "first_batch + moved_ms"},
    "runs": _RUN | {
        "run_id": _RUN_ID, "trace_ids": f"[{_TRACE_ID}]",
        "agents": f"list_transform(agents, lambda a: a || '-' || variant // {TENANTS})",
        "first_batch": "first_batch + moved_ms",
        **{name: _LATER.format(name) for name in ("started_ns", "ended_ns", "first_ns", "arrived_ns", "due_ns")},
    },
    "calls": {name: sql for name, sql in _RUN.items() if name not in ("tenant", "agent")} | {
        "span_id": "xor(span_id, span)", "start_ns": _LATER.format("start_ns"),
        "call_group": "call_group + variant * (SELECT call_groups FROM strides)",
    },
    "findings": {name: sql for name, sql in _RUN.items() if name not in ('"user"', "session")} | {
        "run_id": _RUN_ID, "finding_id": "substr(md5(finding_id || '-' || copy), 1, 24)",
        "span_ids": "list_transform(span_ids, lambda s: xor(s, span))",
        "started_ns": _LATER.format("started_ns"), "ended_ns": _LATER.format("ended_ns"),
    },
}  # fmt: skip
DESCRIBED = {  # dictionary: its number, into how many it is multiplied, and its texts that differ from one to the other
    "facets": ("facet", VARIANTS, {"agent": f"agent || '-' || variant // {TENANTS}"}),
    "identities": ("identity", (VARIANTS + 1) * SESSIONS, {
        "tenant": f"tenant || '-' || 1 + variant // {SESSIONS} % {TENANTS}",
        '"user"': f"\"user\" || '-' || variant // {SESSIONS}", "session": "session || '-' || variant",
    }),
    "sources": ("source", TENANTS, {"tenant": "tenant || '-' || variant"}),
    "call_groups": ("call_group", VARIANTS, {
        "tenant": f"if(tenant = 'default', tenant, tenant || '-' || 1 + variant % {TENANTS})",
        "agent": f"agent || '-' || variant // {TENANTS}",
    }),
}  # fmt: skip


def make(path: Path, spans: int, now_ns: int, days: float, *, seed_spans: int = SEED_SPANS) -> Store:
    """A new store of at least `spans` spans, which arrived evenly over the `days` before `now_ns`."""
    store = Store(path, memory_limit="3GB")
    for package in ("collector", "analytics"):
        store.migrate(package)
    asyncio.run(_receive(store, seed_spans))
    began_ns = now_ns - int(days * 86_400 * 10**9)
    _move(store, began_ns - _one(store, "SELECT min(batch) FROM span_log") * MS)
    runner = Runner(store, PriceBook.seeded(), lambda: now_ns)
    while runner.run_pass(now_ns + SETTLED_NS).behind:
        pass
    stored = _one(store, "SELECT count(*) FROM span_log")
    multiply(store, -(-spans // stored), now_ns - began_ns)
    summarise(store, now_ns)
    store.checkpoint()
    return store


async def _receive(store: Store, spans: int) -> None:
    """Send sample scenarios of the last minutes through a receiver."""
    ingest, credential = Ingest(store, KEY), Credential("open", None, frozenset({"ingest"}))
    ingest.start()
    with tempfile.TemporaryDirectory(prefix="spanledger-bench-") as folder:
        file = Path(folder) / "load.otlp"
        command = [sys.executable, "-m", "bench.generate", "--spans", str(spans), "--hours", "0.05", "--out", str(file)]
        await asyncio.to_thread(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)
        await asyncio.gather(*(ingest.accept("traces", bytes(body), credential) for _, body in bodies(file)))
    await ingest.stop()


def _move(store: Store, by_ns: int) -> None:
    """Let what was received have come, and happened, at another time."""
    by_ms = by_ns // MS
    with store.transaction() as c:
        c.execute(f"UPDATE span_log SET batch = batch + {by_ms}, start_ns = start_ns + {by_ms * MS}")
        c.execute(f"UPDATE message_tool_calls SET batch = batch + {by_ms}")
        c.execute(f"UPDATE ingest_events SET batch = batch + {by_ms}, hour = hour + {by_ms} * INTERVAL 1 MILLISECOND")


def multiply(store: Store, times: int, over_ns: int) -> None:
    """Copy everything until it is there `times` times, the copies evenly later, over `over_ns` in all.

    Raises ValueError where a run is spread over several traces, or a booking was corrected.
    """
    step_ms = over_ns // MS // times
    with store.cursor() as c:
        _require(c, "FROM runs WHERE len(trace_ids) > 1", "runs of several traces")
        _require(c, "FROM booking_corrections", "corrected bookings")
        c.execute("CREATE TEMP TABLE strides AS SELECT "
                  + ", ".join(f"(SELECT max({number}) + 1 FROM {table}) AS {table}"
                              for table, (number, _, _) in DESCRIBED.items()))  # fmt: skip
        for table in (*DESCRIBED, *COPIED):
            c.execute(f"CREATE TEMP TABLE first_{table} AS FROM {table}")
        for table, (number, count, texts) in DESCRIBED.items():
            changed = ", ".join(f"{sql} AS {name}" for name, sql in texts.items())
            c.execute(f"""INSERT INTO {table} BY NAME
                SELECT * EXCLUDE (variant)
                    REPLACE ({number} + variant * (SELECT {table} FROM strides) AS {number}, {changed})
                FROM (SELECT t.*, v::INTEGER AS variant FROM first_{table} t, range(1, {count + 1}) r(v))""")
        c.execute(f"UPDATE dropped_keys SET values_dropped = values_dropped * {times}")
        for first in range(1, times, AT_ONCE):
            c.execute(f"""CREATE OR REPLACE TEMP TABLE copies AS
                SELECT copy, hash(copy) AS hi, hash(copy + 0.5) AS lo, hash(-copy) AS span,
                    copy * {step_ms} AS shift_ms, {step_ms} AS step_ms
                FROM range({first}, {min(first + AT_ONCE, times)}) r(copy)""")
            for table, columns in COPIED.items():
                _copy(c, table, columns)


def _require(c: Cursor, what: str, name: str) -> None:
    ((found,),) = c.execute(f"SELECT count(*) {what}").fetchall()
    if found:
        raise ValueError(f"{found} {name}: their copies would not be what the jobs make of them")


def _copy(c: Cursor, table: str, columns: dict[str, str]) -> None:
    changed = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    placed = _PLACED.format(table=f"first_{table}")
    order = next(name for name in ("batch", "first_batch", "started_ns", "start_ns") if name in columns)
    c.execute(f"INSERT INTO {table} BY NAME SELECT * EXCLUDE ({_ADDED}) REPLACE ({changed}) FROM ({placed}) "
              f"ORDER BY {order}")  # fmt: skip


def summarise(store: Store, now_ns: int, slos: tuple[Slo, ...] = ()) -> None:
    """Let the jobs that keep sums see all rows as new, and the runs job none of them. The counters of /metrics, which
    only ever count what is new, begin with what comes next."""
    with store.transaction() as c:
        c.execute("UPDATE watermarks SET batch = (SELECT max(batch) FROM span_log)")
        c.execute("UPDATE metric_marks SET batch = (SELECT max(batch) FROM span_log), "
                  "arrived_ns = (SELECT max(arrived_ns) FROM runs)")  # fmt: skip
        c.execute("DELETE FROM counted_runs")
        c.execute("INSERT INTO counted_runs SELECT trace_hi, trace_lo, run_span FROM runs")
        c.execute("INSERT INTO touched_minutes SELECT start_ns // 60000000000 FROM calls "
                  "UNION SELECT started_ns // 60000000000 FROM runs")  # fmt: skip
        c.execute("DELETE FROM touched_cost_minutes")
        cost_bins.touch_where(c, "true", [], now_ns - cost_bins.QUIET_NS)
    cost_bins.refresh(store, now_ns)
    arrival_sums.refresh(store)
    with store.transaction() as c:
        slo_events.refresh(c, slos, now_ns)


def _one(store: Store, query: str) -> int:
    with store.cursor() as c:
        return int(c.execute(query).fetchall()[0][0])


def main() -> None:
    """Make the store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=20_000_000)
    parser.add_argument("--days", type=float, default=1 / 24, help="over how long they arrived (default: an hour)")
    parser.add_argument("--data", type=Path, required=True, help="a new folder")
    asked = parser.parse_args()
    asked.data.mkdir(mode=0o700)
    began = time.monotonic()
    store = make(asked.data / STORE_NAME, asked.spans, time.time_ns(), asked.days)
    stored = _one(store, "SELECT count(*) FROM span_log")
    store.close()
    size = sum(file.stat().st_size for file in asked.data.iterdir())
    print(f"{stored:,} spans, {size / stored:.0f} bytes each, in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
