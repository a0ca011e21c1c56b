"""How long it takes to price stored calls again: preview, apply, undo.

    python -m bench.reprice --calls 5000000     (needs about 1 GB of disk in --dir)

The calls are those of bench/pricing.py, ten to a run; the new book makes the first of its models dearer, or with
--all every model.
"""

import argparse
import resource
import shutil
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl

from analytics.pricing.book import PriceBook
from analytics.pricing.charge import price_calls
from analytics.pricing.entries import ModelEntry
from analytics.reprice import Selection, preview, reprice, undo
from bench.pricing import calls as random_calls
from collector.store import Cursor, Store

GROUP = ("provider", "model", "request_model", "tenant", "service_tier")
PER_RUN, CHUNK = 10, 1_000_000


def write(c: Cursor, count: int, first: int, book: PriceBook) -> None:
    """Append `count` priced calls and their runs."""
    priced = price_calls(random_calls(count, seed=first + 1), book)
    groups = priced.select(GROUP).unique(maintain_order=True).with_row_index("call_group")
    (known,) = c.execute("SELECT count(*) FROM call_groups").fetchall()[0]
    groups = groups.with_columns((pl.col("call_group") + known).cast(pl.Int32))
    priced = priced.join(groups, on=list(GROUP), nulls_equal=True, maintain_order="left").with_columns(
        trace_hi=pl.lit(1, pl.UInt64),
        trace_lo=(pl.int_range(pl.len()) // PER_RUN + first).cast(pl.UInt64),
        run_span=pl.lit(0, pl.UInt64),
        span_id=pl.Series(np.random.default_rng(first).integers(1, 2**63, count, dtype=np.uint64)),
        duration_ns=pl.lit(0, pl.Int64), step=pl.lit(1, pl.Int32), status=pl.lit("ok"), derived=pl.lit(False),
        aggregate=pl.lit(False), wasted_pusd=pl.lit(0, pl.Int64), avoided_pusd=pl.col("avoided_pusd").fill_null(0),
        booked_pusd="cost_pusd", booked_version="price_version",
    )  # fmt: skip
    c.register("incoming", groups.with_columns(kind=pl.lit("llm.call"), dialect=pl.lit("spanledger"),
                                               tenant=pl.col("tenant").fill_null("default")))  # fmt: skip
    c.execute("INSERT INTO call_groups BY NAME SELECT * FROM incoming")
    columns = c.sql("SELECT * FROM calls LIMIT 0").columns
    c.register("incoming", priced.select(name for name in columns if name in priced.columns))
    c.execute("INSERT INTO calls BY NAME SELECT * FROM incoming")
    c.unregister("incoming")


RUNS = """
INSERT INTO runs BY NAME SELECT
    printf('%016x%016x', 1, trace_lo) AS run_id, trace_hi, trace_lo, run_span, [] AS trace_ids, [] AS agents,
    any_value(tenant) AS tenant, 'ok' AS status, min(start_ns) AS started_ns, max(start_ns) AS ended_ns,
    min(start_ns) AS first_ns, 0 AS first_batch, 0 AS arrived_ns, false AS sampled,
    sum(cost_pusd)::BIGINT AS cost_pusd, sum(booked_pusd)::BIGINT AS booked_pusd,
    COLUMNS(x -> x IN ('nothing'))
FROM calls JOIN call_groups USING (call_group) GROUP BY ALL
"""
COUNTS = (
    "spans", "steps", "llm_calls", "llm_errors", "tool_calls", "tool_errors", "tool_denied", "derived_tool_calls",
    "retries", "policy_checks", "policy_denials", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_tokens", "reasoning_tokens", "wasted_pusd", "avoided_pusd", "priced_calls", "unpriced_calls",
    "unknown_calls", "priced_tokens", "findings", "quarantined",
)  # fmt: skip


def fill(store: Store, count: int, book: PriceBook) -> None:
    """Calls and runs, in chunks."""
    for first in range(0, count, CHUNK):
        with store.transaction() as c:
            write(c, min(CHUNK, count - first), first, book)
    zeros = ", ".join(f"0 AS {name}" for name in COUNTS)
    with store.transaction() as c:
        c.execute(RUNS.replace("COLUMNS(x -> x IN ('nothing'))", zeros))
    store.checkpoint()


def main() -> None:
    """Fill a store, then time each act."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5_000_000)
    parser.add_argument("--all", action="store_true", help="change the price of every model")
    parser.add_argument("--dir", type=Path, default=None)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="reprice-", dir=args.dir))
    try:
        store = Store(folder / "bench.duckdb", memory_limit="2GB")
        store.migrate("collector")
        store.migrate("analytics")
        fill(store, args.calls, PriceBook.seeded())
        dearer = ModelEntry(model="*" if args.all else "gpt-4o", usd={"input": Decimal(9), "output": Decimal(20)})
        book = PriceBook.seeded([dearer])
        began = time.monotonic()
        shown = preview(store, book)
        print(f"preview: {time.monotonic() - began:.2f} s, {shown.changed_calls:,} of {shown.calls:,} calls change")
        began = time.monotonic()
        done = reprice(store, book, Selection(), actor="bench", now_ns=1)
        print(
            f"reprice: {time.monotonic() - began:.2f} s, {done.old_pusd / 1e12:,.2f} to {done.new_pusd / 1e12:,.2f} USD"
        )
        began = time.monotonic()
        undo(store, done.reprice or 0, actor="bench", now_ns=2)
        print(f"undo: {time.monotonic() - began:.2f} s")
        print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")
        store.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
