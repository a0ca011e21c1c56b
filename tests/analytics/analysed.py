"""A store whose runs and calls the jobs made themselves, from the spans of the demo store."""

from pathlib import Path
from typing import Any

from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from collector.store import Store
from tests.analytics.spans import SECOND, agent, llm, stored, tool
from tests.stores import DEMO_NOW_NS, demo_store, write
from tests.traces import Rows

MADE = ("runs", "calls", "findings", "runless_traces", "watermarks", "call_groups")


def analysed_store(path: Path, book: PriceBook, runs: int = 60) -> Store:
    """The demo store, analysed anew with `book`."""
    store = demo_store(path, runs)
    with store.transaction() as c:
        for table in MADE:
            c.execute(f"DELETE FROM {table}")
        if runs:
            write(c, _loop(first=1_000_000))
    recompute(store, book)
    return store


def _loop(first: int) -> Rows:
    """A run that calls one tool over and over; its descriptions are numbered from `first`."""
    at: dict[str, Any] = {"trace_lo": 77, "batch": DEMO_NOW_NS // 10**6 - 60_000}
    start = DEMO_NOW_NS // SECOND - 100
    spans = [agent(1, None, start, **at)]
    for turn in range(8):
        spans.append(llm(10 + turn, 1, start + 2 * turn, model="gpt-5-mini", provider="openai", **at))
        spans.append(tool(30 + turn, 1, start + 2 * turn + 1, args_hash=5, args_shape=5, result_hash=6, **at))
    return stored(spans, first)


def recompute(store: Store, book: PriceBook) -> None:
    """Let the jobs look at every trace again."""
    with store.cursor() as c:
        c.execute("DELETE FROM watermarks")
    runner = Runner(store, book, lambda: DEMO_NOW_NS)
    while runner.run_pass(DEMO_NOW_NS).behind:
        pass
