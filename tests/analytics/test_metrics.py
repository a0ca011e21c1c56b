"""Counters of /metrics: once per run, never less, and never too many of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics import metrics
from analytics.metrics import OTHER, SETTLE_NS
from collector.store import Store
from tests.stores import DEMO_NOW_NS, demo_store, empty_store
from tests.tables import call, put, run

NOW_NS = DEMO_NOW_NS
LATER_NS = NOW_NS + 2 * SETTLE_NS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    found = empty_store(tmp_path / "s.duckdb")
    yield found
    found.close()


def _read(store: Store, name: str) -> dict[tuple[str, ...], int]:
    with store.cursor() as c:
        return {(*keys, *kinds): value for keys, kinds, value in metrics.totals(c)[name]}


def _write(store: Store, *runs: dict[str, object]) -> None:
    """The runs job has read everything that arrived, and found these runs."""
    with store.transaction() as c:
        put(c, "runs", list(runs))
        c.execute("DELETE FROM watermarks")
        c.execute("INSERT INTO watermarks VALUES ('runs', ?, ?)", [LATER_NS // 10**6, LATER_NS])


def test_counts_equal_what_is_stored(tmp_path: Path) -> None:
    """Over a full store counters equal plain sums over runs, calls and spans; a second pass adds nothing."""
    store = demo_store(tmp_path / "s.duckdb", runs=80)
    counted = metrics.count(store, LATER_NS)
    before = {family.name: _read(store, family.name) for family in metrics.FAMILIES}
    assert metrics.count(store, LATER_NS) == 0

    with store.cursor() as c:

        def one(sql: str) -> int:
            return int(c.execute(sql).fetchall()[0][0])

        assert counted == one("SELECT count(*) FROM runs WHERE status <> 'running'")
        done = "JOIN runs USING (trace_hi, trace_lo, run_span) JOIN call_groups USING (call_group)"
        done += " WHERE runs.status <> 'running'"
        cost = one(f"SELECT sum(calls.cost_pusd) FROM calls {done}")
        tokens = one(f"SELECT sum(calls.input_tokens) FROM calls {done} AND kind = 'llm.call'")
        tools = one(f"SELECT count(*) FROM calls {done} AND kind = 'tool.call'")
        spans = one("SELECT count(*) FROM spans WHERE flags & 2048 = 0")
    assert before == {family.name: _read(store, family.name) for family in metrics.FAMILIES}
    assert sum(before["cost_usd"].values()) == cost
    assert sum(v for k, v in before["llm_tokens"].items() if k[-1] == "prompt") == tokens
    assert sum(before["tool_calls"].values()) == tools
    assert before["ingest_items"]["traces", "accepted"] == spans
    store.close()


def test_first_final_classification_stands(store: Store) -> None:
    """A run is counted once it ended or got stuck; that it turns out otherwise later changes no counter."""
    _write(store, run(NOW_NS, status="running", agent="bot") | {"arrived_ns": NOW_NS})
    assert metrics.count(store, LATER_NS) == 0
    with store.transaction() as c:
        c.execute("UPDATE runs SET status = 'stuck'")
    assert metrics.count(store, LATER_NS) == 1
    with store.transaction() as c:
        c.execute("UPDATE runs SET status = 'ok', arrived_ns = ?", [LATER_NS - SETTLE_NS])

    assert metrics.count(store, LATER_NS) == 0
    assert _read(store, "agent_runs") == {("bot", "stuck"): 1}


def test_a_run_settles_first(store: Store) -> None:
    """While spans of a run still arrive it waits."""
    _write(store, run(NOW_NS) | {"arrived_ns": NOW_NS})

    assert metrics.count(store, NOW_NS + SETTLE_NS // 2) == 0
    assert metrics.count(store, NOW_NS + SETTLE_NS) == 1


def test_a_second_run_of_a_trace_is_one_more(store: Store) -> None:
    """A run that gets a key of its own because its trace held another one is not counted again."""
    first = run(NOW_NS) | {"arrived_ns": NOW_NS, "run_span": 0}
    _write(store, first)
    assert metrics.count(store, LATER_NS) == 1
    with store.transaction() as c:
        c.execute("DELETE FROM runs")
    arrived = {"arrived_ns": LATER_NS}
    _write(store, first | arrived | {"run_span": 11}, first | arrived | {"run_span": 12, "started_ns": NOW_NS + 1})

    assert metrics.count(store, LATER_NS + SETTLE_NS) == 1
    assert metrics.count(store, LATER_NS + SETTLE_NS) == 0


def test_deleting_runs_takes_nothing_back(store: Store) -> None:
    """Retention deletes runs and the marks of counted ones; the counters stay."""
    _write(store, run(NOW_NS, agent="bot") | {"arrived_ns": NOW_NS})
    metrics.count(store, LATER_NS)
    with store.transaction() as c:
        c.execute("DELETE FROM runs")
    metrics.forget(store)
    metrics.count(store, LATER_NS)

    assert sum(_read(store, "agent_runs").values()) == 1
    with store.cursor() as c:
        assert c.execute("SELECT count(*) FROM counted_runs").fetchone() == (0,)


def test_series_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the smaller ones are one series, and what was named keeps its name when others come."""
    monkeypatch.setattr(metrics, "_BOUND", metrics._BOUND.replace(f"<= {metrics.MAX_SERIES}", "<= 2"))
    rows = [
        run(NOW_NS + n, agent=agent) | {"arrived_ns": NOW_NS, "trace_lo": n}
        for n, agent in enumerate(("a", "b", "b", "c", "c", "c"))
    ]
    _write(store, *rows)
    metrics.count(store, LATER_NS)
    assert {k[0]: v for k, v in _read(store, "agent_runs").items()} == {"c": 3, "b": 2, OTHER: 1}

    _write(
        store, *(run(NOW_NS, agent="d") | {"arrived_ns": LATER_NS - SETTLE_NS, "trace_lo": 100 + n} for n in range(9))
    )
    metrics.count(store, LATER_NS)
    assert {k[0]: v for k, v in _read(store, "agent_runs").items()} == {"c": 3, "b": 2, OTHER: 10}


def test_dangerous_tools_and_findings_are_counted(store: Store) -> None:
    """Attempts of tools of the class danger count by tool, findings by rule and agent, once with their run."""
    with store.transaction() as c:
        put(c, "runs", [run(NOW_NS) | {"arrived_ns": NOW_NS}])
        classes = ("danger", "danger", "read", None)
        rows = [call(c, NOW_NS, "tool.call", tool="rm", tool_class=name, status="denied") for name in classes]
        put(c, "calls", rows)
        put(c, "findings", [{"rule": "loop", "agent": "bot", "started_ns": NOW_NS} for _ in range(3)])
    _write(store)
    for _ in range(2):
        metrics.count(store, LATER_NS)
        assert _read(store, "danger_tool_attempt") == {("rm",): 2}
        assert _read(store, "breaker_triggered") == {("loop", "bot"): 3}
