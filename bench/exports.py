"""Memory and time of a large report: one row a run, streamed to a file.

python -m bench.exports --runs 10000000     (needs about 2 GB of disk in --dir)
"""

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path

from analytics import exports
from analytics.reports.exports import Report, cost_frames
from collector.store import Store

CALLS = """
INSERT INTO calls BY NAME SELECT
    1::UBIGINT AS trace_hi, i::UBIGINT AS trace_lo, 0::UBIGINT AS run_span, (i * 7919)::UBIGINT AS span_id,
    (1 + i % 200)::INTEGER AS call_group, 1795000000000000000 + i * 1000000 AS start_ns, 0 AS duration_ns, 1 AS step,
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
CHUNK = 1_000_000


def main() -> None:
    """Fill a store, then write the report; the child's peak memory is what counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000_000)
    parser.add_argument("--form", choices=tuple(exports.FORMATS), default="csv")
    parser.add_argument("--memory-limit", default="1GB")
    parser.add_argument("--dir", type=Path, default=None)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="exports-", dir=args.dir))
    try:
        store = Store(folder / "bench.duckdb", memory_limit=args.memory_limit)
        store.migrate("collector")
        store.migrate("analytics")
        with store.cursor() as c:
            c.execute(GROUPS)
            for begin in range(0, args.runs, CHUNK):
                c.execute(CALLS, {"begin": begin, "end": min(begin + CHUNK, args.runs)})
        store.checkpoint()
        filled = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.monotonic()
        report = Report(("day", "tenant", "agent", "model", "run", "step"))
        exports.save(cost_frames(store, report), args.form, folder / f"report.{args.form}")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        took, size = time.monotonic() - began, (folder / f"report.{args.form}").stat().st_size
        print(f"{args.runs:,} rows as {args.form}: {took:.0f} s, {size / 2**20:,.0f} MiB")
        print(f"peak memory {peak / 1024:,.0f} MiB ({filled / 1024:,.0f} before), store {args.memory_limit}")
        store.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
