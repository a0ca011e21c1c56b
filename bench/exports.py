"""Memory and time of a large report, streamed to a file: one row a run, or a session with --by user,session, or FOCUS.

python -m bench.exports --runs 10000000     (needs about 2 GB of disk in --dir)
python -m bench.exports --runs 10000000 --by user,session
python -m bench.exports --runs 2000000 --focus
"""

import argparse
import resource
import shutil
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

from analytics import exports
from analytics.pricing.book import PriceBook
from analytics.reports.exports import Report, cost_frames, focus_frames
from analytics.reports.periods import EVER_NS
from bench.reprice import COUNTS
from collector.store import Store

CALLS = """
INSERT INTO calls BY NAME SELECT
    1::UBIGINT AS trace_hi, i::UBIGINT AS trace_lo, 0::UBIGINT AS run_span, (i * 7919)::UBIGINT AS span_id,
    (1 + i % 200)::INTEGER AS call_group, 1795000000000000000 + i * 1000000 AS start_ns, 0 AS duration_ns, 1 AS step,
    'user-' || i % 100000 AS "user", 'session-' || i // 5 AS session,
    'ok' AS status, false AS derived, false AS aggregate, 1000 + i % 977 AS input_tokens, 100 AS output_tokens,
    'priced' AS pricing, 1000000 + i AS cost_pusd, 1000000 + i AS booked_pusd, 0 AS wasted_pusd, 0 AS avoided_pusd
FROM range($begin, $end) t(i)
"""
GROUPS = """
INSERT INTO call_groups BY NAME SELECT
    (1 + i)::INTEGER AS call_group, 'llm.call' AS kind, 'spanledger' AS dialect, 'tenant-' || i % 20 AS tenant,
    'agent-' || i % 10 AS agent, 'openai' AS provider, 'model-' || i % 5 AS model
FROM range(200) t(i)
"""
ZEROS = ", ".join(f"{int(name in ('spans', 'llm_calls', 'priced_calls'))} AS {name}" for name in COUNTS)
BY_RUN = "day,tenant,agent,model,run,step"
RUNS = f"""
INSERT INTO runs BY NAME SELECT
    printf('%016x%016x', 1, i) AS run_id, 1::UBIGINT AS trace_hi, i::UBIGINT AS trace_lo, 0::UBIGINT AS run_span,
    [] AS trace_ids, [] AS agents, 'tenant-' || i % 20 AS tenant, 'ok' AS status, false AS sampled, 0 AS first_batch,
    1795000000000000000 + i * 1000000 AS started_ns, started_ns AS ended_ns, started_ns AS first_ns, 0 AS arrived_ns,
    {ZEROS}
FROM range($begin, $end) t(i)
"""
CHUNK = 1_000_000


def fill(path: Path, count: int) -> None:
    """Runs of one call each."""
    store = Store(path)
    store.migrate("collector")
    store.migrate("analytics")
    with store.cursor() as c:
        c.execute(GROUPS)
        for begin in range(0, count, CHUNK):
            for statement in (CALLS, RUNS):
                c.execute(statement, {"begin": begin, "end": min(begin + CHUNK, count)})
    store.close()


def main() -> None:
    """Fill a store in a process of its own, then write the report: this one's peak memory is what counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000_000)
    parser.add_argument("--by", default=BY_RUN, help="group keys")
    parser.add_argument("--focus", action="store_true", help="FOCUS rows instead")
    parser.add_argument("--form", choices=tuple(exports.FORMATS), default="csv")
    parser.add_argument("--memory-limit", default="1GB")
    parser.add_argument("--dir", type=Path, default=None)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="exports-", dir=args.dir))
    try:
        filling = get_context("spawn").Process(target=fill, args=(folder / "bench.duckdb", args.runs))
        filling.start()
        filling.join()
        store = Store(folder / "bench.duckdb", memory_limit=args.memory_limit)
        began = time.monotonic()
        frames = cost_frames(store, Report(tuple(args.by.split(","))))
        if args.focus:
            frames = focus_frames(store, PriceBook.seeded(), *EVER_NS)
        exports.save(frames, args.form, folder / f"report.{args.form}")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        took, size = time.monotonic() - began, (folder / f"report.{args.form}").stat().st_size
        print(f"{args.runs:,} calls as {args.form}: {took:.0f} s, {size / 2**20:,.0f} MiB")
        print(f"peak memory {peak / 1024:,.0f} MiB, store {args.memory_limit}")
        store.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
