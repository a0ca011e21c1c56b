"""How long the cost report takes over a big store, beside plain SQL on the same file.

    python bench/report.py [--spans 20000000] [--repeat 5]

Builds a store of 30 days in a temporary folder (half of the spans are calls, eight a run), asks for cost by tenant,
model and day, and by other groupings, and removes the store. The reference is the query that a person would write
by hand for the same columns: one pass with count(DISTINCT run), and one for the total.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from analytics.reports.costs import list_costs
from analytics.reports.runs import list_runs
from analytics.reports.spans import count_spans, list_spans
from collector.store import Store

START_NS = 1_790_000_000 * 10**9
DAYS = 30
GROUPINGS = (
    ("tenant", "model", "day"), (), ("tool",), ("user",), ("agent", "hour"), ("tenant", "model", "day", "owner"),
)  # fmt: skip

_GROUPS = """
INSERT INTO call_groups BY NAME
SELECT i AS call_group, CASE WHEN i % 2 = 0 THEN 'llm.call' ELSE 'tool.call' END AS kind, 'genai' AS dialect,
    'tenant-' || (i // 2 % 8) AS tenant, 'agent-' || (i // 16 % 5) AS agent, 'service' AS service,
    CASE WHEN i % 2 = 0 THEN 'openai' END AS provider, CASE WHEN i % 2 = 0 THEN 'model-' || (i // 80 % 10) END AS model,
    CASE WHEN i % 2 = 1 THEN 'tool-' || (i // 80 % 10) END AS tool
FROM range(800) t(i)
"""

# Calls of a run: model and tool in turns; nine in ten by the run's own model; a tenth without a price.
_CALLS = """
INSERT INTO calls BY NAME
SELECT hash(r) AS trace_hi, hash(r + 1) AS trace_lo, 0 AS run_span, hash(i + 10000000000) AS span_id,
    (k % 2 + 2 * (hash(r) % 8) + 16 * (hash(r + 5) % 5)
        + 80 * (CASE WHEN k % 2 = 0 AND hash(i + 3) % 10 <> 0 THEN hash(r + 9) ELSE hash(i) END % 10))::INTEGER
        AS call_group,
    $start_ns + r * $run_ns + k * 1500000000 AS start_ns, 1000000000 AS duration_ns, (k // 2)::INTEGER AS step,
    CASE WHEN hash(i) % 50 = 0 THEN 'error' ELSE 'ok' END AS status, false AS derived, false AS aggregate,
    'u' || (hash(r) % 1000) AS "user", 's' || (r // 3) AS session,
    CASE WHEN k % 2 = 0 THEN 1000 + hash(i) % 3000 END AS input_tokens,
    CASE WHEN k % 2 = 0 THEN hash(i) % 900 END AS output_tokens,
    CASE WHEN k % 2 = 0 THEN 0 END AS cache_read_tokens,
    CASE WHEN k % 2 = 1 THEN 'none' WHEN hash(i) % 10 = 0 THEN 'unpriced' ELSE 'priced' END AS pricing,
    CASE WHEN k % 2 = 0 AND hash(i) % 10 <> 0 THEN (hash(i) % 100000000000)::BIGINT END AS cost_pusd,
    cost_pusd AS booked_pusd, 0 AS wasted_pusd, 0 AS avoided_pusd
FROM (SELECT i, i // 8 AS r, i % 8 AS k FROM range($calls) t(i))
"""

_SPANS = """
INSERT INTO span_log BY NAME
SELECT 1 + i // 8192 AS batch, hash(i // 16) AS trace_hi, hash(i // 16 + 1) AS trace_lo, hash(i) AS span_id,
    CASE WHEN i % 16 = 0 THEN 0 ELSE hash(i - i % 16) END AS parent_id,
    $start_ns + (i // 16) * $run_ns + (i % 16) * 700000000 AS start_ns, 600000000 AS duration_ns, 0 AS facet,
    0 AS identity, 0 AS source, 0 AS flags, -1 AS input_tokens, -1 AS output_tokens
FROM range($spans) t(i)
"""

_SUMS = """count(*) FILTER (kind = 'llm.call') AS llm_calls, count(*) FILTER (kind = 'tool.call') AS tool_calls,
    count(*) FILTER (kind = 'llm.call' AND status = 'error') AS llm_errors,
    sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens),
    sum(cost_pusd), sum(booked_pusd), sum(reported_pusd), sum(wasted_pusd), sum(avoided_pusd),
    count(*) FILTER (pricing = 'priced' AND kind = 'llm.call'), count(*) FILTER (pricing = 'unpriced'),
    count(*) FILTER (pricing = 'unknown'),
    sum(input_tokens + output_tokens) FILTER (pricing = 'priced' AND kind = 'llm.call'),
    count(DISTINCT (trace_hi, trace_lo, run_span)) AS runs"""

_PLAIN = f"""
SELECT tenant, model, CAST(make_timestamp(start_ns // 1000) AS DATE) AS day, {_SUMS}
FROM calls JOIN call_groups USING (call_group) WHERE start_ns >= $from_ns AND start_ns < $to_ns GROUP BY ALL
"""
_PLAIN_TOTAL = f"""
SELECT {_SUMS} FROM calls JOIN call_groups USING (call_group) WHERE start_ns >= $from_ns AND start_ns < $to_ns
"""


def build(folder: Path, spans: int) -> Store:
    """A store with `spans` spans over 30 days."""
    store = Store(folder / "spanledger.duckdb")
    for package in ("collector", "analytics"):
        store.migrate(package)
    calls = spans // 2
    known = {"start_ns": START_NS, "run_ns": DAYS * 86_400 * 10**9 // (calls // 8)}
    with store.cursor() as c:
        c.execute("INSERT INTO facets BY NAME SELECT 0 AS facet, 'other' AS kind, 'raw' AS dialect, 'none' AS mapping, "
                  "'span' AS name, 'internal' AS span_kind, 'ok' AS status")  # fmt: skip
        c.execute("INSERT INTO identities BY NAME SELECT 0 AS identity")
        c.execute("INSERT INTO sources BY NAME SELECT 0 AS source, 'service' AS service, 'scope' AS scope")
        c.execute(_GROUPS)
        c.execute(_CALLS, known | {"calls": calls})
        c.execute(_SPANS, known | {"spans": spans})
        c.execute("INSERT INTO watermarks SELECT 'runs', max(batch), 0 FROM span_log")
    store.checkpoint()
    return store


def best(ask: Callable[[], object], repeat: int) -> tuple[float, float]:
    """Wall and CPU seconds of the fastest of `repeat` times."""
    times = []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        ask()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(times)


def main() -> None:
    """Build, measure, print one JSON line a question, remove."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=20_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spanledger-bench-") as folder:
        store = build(Path(folder), asked.spans)
        bounds = {"from_ns": START_NS, "to_ns": START_NS + 31 * 86_400 * 10**9}
        now_ns = bounds["to_ns"]
        period: dict[str, Any] = dict(bounds)

        def plain() -> None:
            with store.cursor() as c:
                c.execute(_PLAIN, bounds).fetchall()
                c.execute(_PLAIN_TOTAL, bounds).fetchall()

        reference, cpu = best(plain, asked.repeat)
        say("plain SQL: tenant, model, day and total", reference, cpu)
        for keys in GROUPINGS:
            question = partial(list_costs, store, now_ns, group_by=keys, limit=10_000, **period)
            wall, cpu = best(question, asked.repeat)
            say(f"cost by {', '.join(keys) or 'nothing'}", wall, cpu, ratio=round(wall / reference, 2))
        say("spans --count", *best(lambda: count_spans(store), asked.repeat))
        say("runs", *best(lambda: list_runs(store, now_ns), asked.repeat))
        with store.cursor() as c:
            hi, lo = c.execute("SELECT trace_hi, trace_lo FROM span_log LIMIT 1").fetchall()[0]
        say("spans of a run", *best(lambda: list_spans(store, f"{hi:016x}{lo:016x}", now_ns), asked.repeat))
        store.close()


def say(what: str, wall_s: float, cpu_s: float, **more: float) -> None:
    """One line."""
    print(json.dumps({"what": what, "wall_s": round(wall_s, 3), "cpu_s": round(cpu_s, 3), **more}), flush=True)


if __name__ == "__main__":
    main()
