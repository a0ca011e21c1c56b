"""After a remap: the jobs look at the changed traces again, in bounded passes; its answers have stable shapes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics import jobs
from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from analytics.reports.remaps import MAX_ITEMS, remapping
from collector.dialects.tables import Tables, load_tables
from collector.remap import Change, Remapped, remap, undo
from collector.store import Store
from tests.collector.remapping import ACME, EVER, NOW_NS, SPANS, filled, take_in
from tests.collector.spans import START_NS, request

BOOK = PriceBook.seeded()
TRACES = 7
RUNS = "SELECT * EXCLUDE (due_ns) FROM runs ORDER BY run_id"
CALLS = (
    "SELECT * EXCLUDE (call_group) FROM calls JOIN call_groups USING (call_group) ORDER BY trace_hi, trace_lo, span_id"
)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """The tables of somebody whose framework is called acme."""
    folder = tmp_path / "dialects"
    folder.mkdir()
    (folder / "acme.toml").write_text(ACME)
    return load_tables(folder)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Some traces of acme, taken in and looked at while nobody knew it."""
    body = request(*SPANS, scope="acme.agents")
    bodies = [body.replace(b"t" * 16, bytes([65 + i]) * 16) for i in range(TRACES)]
    store = filled(tmp_path / "store.duckdb", *(("traces", b) for b in bodies))
    store.migrate("analytics")
    caught_up(store)
    yield store
    store.close()


def caught_up(store: Store, now_ns: int = NOW_NS) -> list[int]:
    """How many traces each pass looked at until nothing waits."""
    runner, seen = Runner(store, BOOK, lambda: now_ns), []
    while True:
        result = runner.run_pass(now_ns)
        seen.append(result.traces)
        if not result.behind:
            return seen


def rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    """An answer."""
    with store.cursor() as c:
        return c.execute(sql).fetchall()


def test_the_jobs_follow_a_remap_and_its_undo(
    store: Store, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few traces a pass, each once; runs and calls are those of a recomputation, and again the old ones after it."""
    monkeypatch.setattr(jobs, "PASS_TRACES", 3)
    before = rows(store, RUNS), rows(store, CALLS)
    assert {r[0] for r in rows(store, "SELECT llm_calls FROM runs")} == {0}

    remap(store, tables, *EVER, actor="test", now_ns=NOW_NS)
    assert caught_up(store) == [3, 3, 1]
    assert caught_up(store) == [0]
    after = rows(store, RUNS), rows(store, CALLS)
    runs = rows(store, "SELECT agent, llm_calls, tool_calls, tool_errors, input_tokens, dialect FROM runs")
    assert runs == [("shopper", 1, 1, 1, 30, "acme")] * TRACES
    with store.transaction() as c:
        for table in ("runs", "calls", "watermarks", "runless_traces"):
            c.execute(f"DELETE FROM {table}")
    caught_up(store)
    assert (rows(store, RUNS), rows(store, CALLS)) == after

    undo(store, 1, actor="test", now_ns=NOW_NS)
    caught_up(store)
    assert (rows(store, RUNS), rows(store, CALLS)) == before


def test_costs_follow_a_tenant_that_was_read_later(store: Store, tmp_path: Path) -> None:
    """Runs and calls belong to whom a kept attribute names, once a table says that it names the tenant."""
    body = request({"name": "llm.call", "model": "gpt-5-mini", "prompt_tokens": 7, "acme.customer": "globex"})
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "kept.toml").write_text('kept = ["acme.customer"]')
    take_in(store, ("traces", body), tables=load_tables(folder))
    caught_up(store)
    whose = "SELECT DISTINCT tenant FROM {} ORDER BY 1"
    assert rows(store, whose.format("runs")) == [("default",)]
    mine = 'dialect = "spanledger"\nextends = ["spanledger"]\n[fields]\ntenant = ["acme.customer"]'
    (folder / "mine.toml").write_text(mine)
    remap(store, load_tables(folder), *EVER, actor="test", now_ns=NOW_NS)
    caught_up(store)
    assert rows(store, whose.format("runs")) == [("default",), ("globex",)]
    calls = "calls JOIN call_groups USING (call_group) WHERE kind = 'llm.call'"
    assert rows(store, whose.format(calls)) == [("globex",)]


def test_an_answer_names_the_largest_differences(tables: Tables) -> None:
    """Money as text in USD; beyond a bound the ones of the fewest spans are only counted."""
    many = [Change("a", "name", i + 1, f"n{i}", None) for i in range(MAX_ITEMS + 5)]
    money = Change("a", "reported_pusd", START_NS, None, 25 * 10**10)
    answer = remapping(Remapped(None, "v", 10, 5, 1, [*many, money]))
    assert (len(answer["items"]), answer["omitted"]) == (MAX_ITEMS, 6)
    assert answer["items"][-1] == {
        "dialect": "a", "field": "reported_usd", "spans": START_NS, "old": None, "new": "0.25"
    }  # fmt: skip
    assert min(item["spans"] for item in answer["items"]) == 7
