"""How fast the jobs are: catching up with a backlog, and one pass after 10,000 new spans at several sizes.

    python bench/jobs.py --spans 1000000
    python bench/jobs.py --sizes 1000000 20000000     (needs about 3 GB of disk in --dir)

Spans are written straight into the tables, without the receiver: runs of about 35 spans (plan, model calls, tool
selections, policy checks, tool calls; one run in fifty loops), children before parents, 64 runs at a time.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from collector.store import Cursor, Store

MODELS = ("gpt-4o", "claude-sonnet-4-5", "gpt-4o-mini", "gemini-2.0-flash", "claude-haiku-4-5", "llama-3.3-70b")
TOOLS = tuple(
    f"{n}.{v}" for n in ("search", "sql", "files", "http", "mail", "code") for v in ("query", "list", "fetch")
)
AGENTS = ("planner", "researcher", "coder", "reviewer", "support", "analyst", "ops", "writer")
TENANTS, SERVICES, AT_ONCE, BATCH = 50, 4, 64, 8_192
SECOND = 10**9


def facets() -> tuple[pa.Table, dict[str, range]]:
    """The facets that all spans use, and where those of each kind lie."""
    rows: list[dict[str, object]] = []
    places = {}
    for kind, column, names in (
        ("agent.run", "agent", AGENTS), ("llm.call", "model", MODELS), ("tool.call", "tool", TOOLS),
        ("agent.plan", "planner_model", MODELS[:1]), ("agent.tool_select", "tool", TOOLS[:1]),
        ("policy.check", "rule_id", ("spend.limit",)),
    ):  # fmt: skip
        places[kind] = range(len(rows), len(rows) + len(names))
        for name in names:
            row = {"facet": len(rows), "kind": kind, "dialect": "spanledger", "mapping": "exact", "name": kind}
            rows.append(row | {"span_kind": "internal", "status": "ok", column: name})
    return pa.Table.from_pylist(
        rows, schema=pa.schema([(n, pa.int32() if n == "facet" else pa.string()) for n in FACETS])
    ), places


FACETS = (
    "facet", "kind", "dialect", "mapping", "name", "span_kind", "status", "agent", "model", "tool", "planner_model",
    "rule_id",
)  # fmt: skip


def spans(
    rng: np.random.Generator, runs: int, first_run: int, start_ns: int, batch: int, places: dict[str, range]
) -> pa.Table:
    """The spans of `runs` runs in order of arrival; batches count on from `batch`."""
    steps = np.clip(rng.lognormal(2.0, 0.6, runs).astype(int), 3, 40)
    loops = rng.random(runs) < 0.02
    steps = np.where(loops, np.maximum(steps, 8), steps)
    kinds = ("llm.call", "agent.tool_select", "policy.check", "tool.call")
    run = np.repeat(np.arange(runs), steps * len(kinds))
    kind = np.tile(np.arange(len(kinds)), int(steps.sum()))
    step = np.concatenate([np.repeat(np.arange(s), len(kinds)) for s in steps])
    keep = (kind != 2) | (rng.random(len(kind)) < 0.6)
    run, kind, step = run[keep], kind[keep], step[keep]
    run = np.concatenate([run, np.arange(runs), np.arange(runs)])
    kind = np.concatenate([kind, np.full(runs, 4), np.full(runs, 5)])
    step = np.concatenate([step, np.full(runs, -1), np.full(runs, -1)])
    n = len(run)
    names = (*kinds, "agent.plan", "agent.run")
    facet = np.zeros(n, np.int32)
    for code, name in enumerate(names):
        of = kind == code
        facet[of] = rng.integers(places[name].start, places[name].stop, int(of.sum()))
    is_root, is_model, is_tool = kind == 5, kind == 0, kind == 3
    looping = loops[run] & is_tool & (step >= 2)
    facet[looping] = places["tool.call"].start
    wave = start_ns + (run // AT_ONCE) * 20 * SECOND
    start = wave + (step + 1) * SECOND + kind * SECOND // 10 + (run % AT_ONCE) * 10**6
    start[is_root] = wave[is_root]
    duration = np.where(is_root, (steps[run] + 1) * SECOND, SECOND // 12)
    ids = (np.arange(n, dtype=np.uint64) + np.uint64(first_run * 1000 + 1)) * np.uint64(0x9E3779B97F4A7C15)
    root_of = np.zeros(runs, np.uint64)
    root_of[run[is_root]] = ids[is_root]
    number = run.astype(np.uint64) + np.uint64(first_run + 1)
    prompt = 200 + rng.lognormal(6.5, 0.8, n).astype(np.int64) + 150 * np.maximum(step, 0)
    none = np.int64(-1)
    args = np.where(looping, number, rng.integers(1, 2**62, n).astype(np.uint64))
    columns = {
        "trace_hi": number * np.uint64(0xBF58476D1CE4E5B9),
        "trace_lo": number * np.uint64(0x94D049BB133111EB),
        "span_id": ids,
        "parent_id": np.where(is_root, np.uint64(0), root_of[run]),
        "start_ns": start,
        "duration_ns": duration,
        "facet": facet,
        "identity": np.where(is_root, (number % np.uint64(TENANTS)).astype(np.int32) + 1, 0).astype(np.int32),
        "source": (run % SERVICES).astype(np.int32),
        "flags": np.zeros(n, np.int32),
        "input_tokens": np.where(is_model, prompt, none),
        "output_tokens": np.where(is_model, 1 + rng.lognormal(4.8, 0.8, n).astype(np.int64), none),
        "cache_read_tokens": np.where(is_model, prompt // 3, none),
        "args_hash": np.where(is_tool, args, np.uint64(0)),
    }
    order = np.argsort(start + duration + (run // AT_ONCE), kind="stable")
    columns = {name: values[order] for name, values in columns.items()}
    return pa.table({"batch": batch + np.arange(n) // BATCH, **columns})


def insert(cursor: Cursor, table: str, rows: pa.Table) -> None:
    """Insert Arrow rows by name."""
    cursor.register("incoming", rows)
    cursor.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
    cursor.unregister("incoming")


class Load:
    """A store that grows: whole runs are appended, numbered on from those before."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "bench.duckdb", memory_limit="2GB")
        self.store.migrate("collector")
        self.store.migrate("analytics")
        table, self.places = facets()
        self.rng, self.runs, self.spans, self.batch = np.random.default_rng(11), 0, 0, time.time_ns() // 10**6
        with self.store.transaction() as c:
            insert(c, "facets", table)
            ids = list(range(TENANTS + 1))
            names = [None, *(f"tenant-{i:02d}" for i in range(TENANTS))]
            insert(c, "identities", pa.table({"identity": pa.array(ids, pa.int32()), "tenant": names}))
            sources = {
                "source": pa.array(range(SERVICES), pa.int32()),
                "service": [f"svc-{i}" for i in range(SERVICES)],
            }
            insert(c, "sources", pa.table(sources | {"scope": ["bench"] * SERVICES}))

    def make(self, count: int) -> pa.Table:
        """About `count` spans of whole runs, to be put in that order."""
        runs = max(1, count // 33)
        start_ns = time.time_ns() - 3600 * SECOND + self.runs * SECOND // 1000
        rows = spans(self.rng, runs, self.runs, start_ns, self.batch, self.places)
        self.runs, self.batch = self.runs + runs, rows["batch"][-1].as_py() + 1
        return rows

    def put(self, rows: pa.Table) -> int:
        """Store them; returns how many."""
        with self.store.transaction() as c:
            insert(c, "span_log", rows)
        self.spans += len(rows)
        return len(rows)


def catch_up(runner: Runner) -> tuple[float, float, int]:
    """Passes until nothing waits: wall seconds, CPU seconds, passes."""
    wall, cpu, passes = time.monotonic(), time.process_time(), 0
    while True:
        passes += 1
        if not runner.run_pass(time.time_ns()).behind:
            return time.monotonic() - wall, time.process_time() - cpu, passes


def main() -> None:
    """Print one line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000], help="stored spans at which to measure")
    parser.add_argument("--dir", type=Path, default=None, help="where to put the store; it is deleted at the end")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-jobs-", dir=options.dir))
    try:
        load = Load(folder)
        runner = Runner(load.store, PriceBook.seeded(), time.time_ns)
        for size in options.sizes:
            before = load.spans
            while load.spans < size:
                load.put(load.make(min(size - load.spans, 400_000)))
            added = load.spans - before
            wall, cpu, passes = catch_up(runner)
            speed = f"{added / wall:,.0f} spans/s, {cpu / added * 1e6:.1f} CPU s/M, {passes} passes"
            print(f"backlog of {added:,} spans: {speed}", flush=True)
            load.store.checkpoint()
            seconds = []
            for _ in range(7):  # the first half leaves runs open that the second half touches again
                rows = load.make(20_000)
                load.put(rows[: len(rows) // 2])
                catch_up(runner)
                new = load.put(rows[len(rows) // 2 :])
                seconds.append(catch_up(runner)[0])
            took = f"median {sorted(seconds)[3]:.3f} s, worst {max(seconds):.3f} s"
            print(f"pass after {new:,} new spans at {load.spans:,} stored: {took}", flush=True)
        load.store.close()
        print(f"disk: {(folder / 'bench.duckdb').stat().st_size / load.spans:.1f} B a span, runs and calls included")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
