"""The benchmarks, as small as they go: ingest comes out exactly, and a multiplied store is what the jobs would make."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from bench import multiply
from collector.store import Store
from tests.needed import ROOT

pytestmark = pytest.mark.slow

NOW_NS = 1_795_186_800 * 10**9
MADE = {  # what the jobs make of spans, without numbers that differ from one making to the next
    "runs": "FROM runs",
    "calls": "SELECT * EXCLUDE call_group FROM calls JOIN call_groups USING (call_group)",
    "findings": "SELECT * EXCLUDE finding_id FROM findings",
    "runless_traces": "FROM runless_traces",
}


def test_load_of_known_truth() -> None:
    """Load of every scenario over several connections is counted and priced to the last digit."""
    command = [sys.executable, "-m", "bench.ingest", "--spans", "5000", "--per-request", "64", "--connections", "4"]

    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    figures = json.loads(done.stdout.splitlines()[-1])

    assert figures["spans_acked"] >= 5000
    assert set(figures["statuses"]) == {"200"}


def test_a_multiplied_store_is_what_the_jobs_would_make(tmp_path: Path) -> None:
    """Runs, calls and findings of copied spans, copied too, are those that a full recomputation gives."""
    store = multiply.make(tmp_path / "spanledger.duckdb", 10_000, NOW_NS, 0.1, seed_spans=2000)
    copied = _made(store)

    with store.transaction() as c:
        for table in (*MADE, "call_groups", "watermarks"):
            c.execute(f"DELETE FROM {table}")
    runner = Runner(store, PriceBook.seeded(), lambda: NOW_NS)
    while runner.run_pass(NOW_NS + multiply.SETTLED_NS).behind:
        pass

    assert len(copied["runs"]) >= 5 * 200
    assert _made(store) == copied
    store.close()


def _made(store: Store) -> dict[str, list[str]]:
    with store.cursor() as c:
        return {name: sorted(map(str, c.execute(query).fetchall())) for name, query in MADE.items()}
