"""Counts by minute: against a naive recomputation, the jobs and Prometheus' own rule engine."""

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import openslo, slo_events
from analytics import slo as burn_rates
from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from analytics.slo import MINUTE_NS, Condition, Slo
from collector.store import Cursor, Store
from tests.analytics.objectives import COST, NOW_NS, PAIRS, SUCCESS, TOOLS
from tests.analytics.spans import agent, stored, tool
from tests.stores import empty_store, write
from tests.tables import call, finding, put, run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One migrated store for the module; tests roll back what they write."""
    store = empty_store(tmp_path_factory.mktemp("slo") / "s.duckdb")
    yield store
    store.close()


@pytest.fixture
def cursor(counted: Store) -> Iterator[Cursor]:
    """A transaction that is undone."""
    with counted.cursor() as found:
        found.begin()
        yield found
        found.rollback()


def _counts(cursor: Cursor, slo: Slo, minutes: int = 60, now_ns: int = NOW_NS) -> dict[str, tuple[int, int, int]]:
    """(good, bad, left out) by group, in one window."""
    frame = slo_events.window_counts(cursor, [(slo.name, minutes)], now_ns)
    return {row[2]: (row[4], row[5], row[6]) for row in frame.iter_rows() if row[4:7] != (0, 0, 0)}


def test_run_statuses(cursor: Cursor) -> None:
    """error and stuck are bad, running and incomplete are left out and counted as such."""
    put(cursor, "runs", [run(NOW_NS, status=s) for s in ("ok", "ok", "error", "stuck", "running", "incomplete")])
    slo_events.refresh(cursor, [SUCCESS], NOW_NS)

    assert _counts(cursor, SUCCESS) == {"{}": (2, 2, 2)}


def test_a_run_belongs_to_its_start(cursor: Cursor) -> None:
    """A long run counts in the minute it started, not the one it ended in."""
    put(cursor, "runs", [run(NOW_NS - 90 * MINUTE_NS, status="error", ended_ns=NOW_NS)])
    slo_events.refresh(cursor, [SUCCESS], NOW_NS)

    assert _counts(cursor, SUCCESS, 60) == {}
    assert _counts(cursor, SUCCESS, 120) == {"{}": (0, 1, 0)}


def test_unknown_cost_is_left_out_unless_too_high_already(cursor: Cursor) -> None:
    """An unpriced run is neither cheap nor dear; what is over the limit with what is known is bad for good."""
    usd = 10**12
    rows = [
        run(NOW_NS, cost_pusd=usd // 2),
        run(NOW_NS, cost_pusd=usd // 2 + 1),
        run(NOW_NS, cost_pusd=None, unpriced_calls=1),
        run(NOW_NS, cost_pusd=1, unpriced_calls=1),
        run(NOW_NS, cost_pusd=usd, unpriced_calls=1),
        run(NOW_NS, cost_pusd=1, unknown_calls=2, llm_errors=1),
        run(NOW_NS, cost_pusd=1, unknown_calls=1, llm_errors=1),
    ]
    put(cursor, "runs", rows)
    slo_events.refresh(cursor, [COST], NOW_NS)

    assert _counts(cursor, COST) == {'{"tenant":"acme"}': (2, 2, 3)}


def test_tool_calls_by_group_without_denials(cursor: Cursor) -> None:
    """Denied calls are left out, a filter with a pattern holds, groups are server and tool, model calls are no part."""
    rows = [
        call(cursor, NOW_NS, "tool.call", status="ok", tool="search", tool_server="mcp"),
        call(cursor, NOW_NS, "tool.call", status="error", tool="search", tool_server="mcp"),
        call(cursor, NOW_NS, "tool.call", status="denied", tool="search", tool_server="mcp"),
        call(cursor, NOW_NS, "tool.call", status="ok", tool="fetch"),
        call(cursor, NOW_NS, "tool.call", status="error", tool="fetch", agent="test-7"),
        call(cursor, NOW_NS, "llm.call", status="error", model="m"),
    ]
    put(cursor, "calls", rows)
    slo_events.refresh(cursor, [TOOLS], NOW_NS)

    assert _counts(cursor, TOOLS) == {
        '{"tool_server":"mcp","tool":"search"}': (1, 1, 1),
        '{"tool_server":null,"tool":"fetch"}': (1, 0, 0),
    }


def test_a_stuck_run_is_longer_than_any_threshold(cursor: Cursor) -> None:
    """Duration under a threshold: a run that never ended is bad."""
    fast = replace(SUCCESS, name="fast", good=(Condition("duration_ms", "lt", ("2000",)),), threshold=True)
    put(
        cursor,
        "runs",
        [run(NOW_NS, ended_ns=NOW_NS + n * 10**9, status=s) for n, s in ((1, "ok"), (2, "ok"), (1, "stuck"))],
    )
    slo_events.refresh(cursor, [fast], NOW_NS)

    assert _counts(cursor, fast) == {"{}": (1, 2, 0)}


def test_late_and_changed_rows_correct_the_past(cursor: Cursor) -> None:
    """Touched minutes are counted again: a late run appears, a run that changes its status or start moves."""
    old = NOW_NS - 500 * MINUTE_NS
    put(cursor, "runs", [run(old, status="error", run_id="r1")])
    slo_events.refresh(cursor, [SUCCESS], NOW_NS)
    assert _counts(cursor, SUCCESS, 1440) == {"{}": (0, 1, 0)}

    assert not slo_events.refresh(cursor, [SUCCESS], NOW_NS)
    put(cursor, "runs", [run(old - 70 * MINUTE_NS, run_id="late")])
    cursor.execute("UPDATE runs SET status = 'ok', started_ns = ? WHERE run_id = 'r1'", [old - 3 * MINUTE_NS])
    slo_events.touch(cursor, [(old - n * MINUTE_NS) // MINUTE_NS for n in (0, 3, 70)])

    assert slo_events.refresh(cursor, [SUCCESS], NOW_NS)
    assert _counts(cursor, SUCCESS, 1440) == {"{}": (2, 0, 0)}


def test_a_new_definition_counts_everything_again(cursor: Cursor) -> None:
    """A changed SLO is rebuilt over its period, one that is gone is forgotten."""
    put(cursor, "runs", [run(NOW_NS - 9 * 1440 * MINUTE_NS, tenant=t) for t in ("a", "a", "b")])
    slo_events.refresh(cursor, [SUCCESS, COST], NOW_NS)
    slo_events.refresh(cursor, [replace(SUCCESS, group_by=("tenant",))], NOW_NS)

    assert _counts(cursor, SUCCESS, 30 * 1440) == {'{"tenant":"a"}': (2, 0, 0), '{"tenant":"b"}': (1, 0, 0)}
    assert cursor.execute("SELECT count(*) FROM slo_series WHERE slo = 'run-cost'").fetchone() == (0,)


EVENTS = st.lists(
    st.tuples(
        st.integers(-3000, 5),  # minute from now
        st.integers(0, 59),
        st.sampled_from(["ok", "ok", "error", "stuck", "running"]),
        st.sampled_from(["a", "b", None]),
    ),
    max_size=60,
)


def _naive(events: list[Any], agent: str | None, minutes: int) -> tuple[int, int]:
    """Good and bad of one agent in the last `minutes`, one event at a time."""
    end = NOW_NS // MINUTE_NS + 1
    kept = [e for e in events if e[3] == agent and end - minutes <= NOW_NS // MINUTE_NS + e[0] < end]
    return sum(e[2] == "ok" for e in kept), sum(e[2] in ("error", "stuck") for e in kept)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(first=EVENTS, second=EVENTS)
def test_counts_equal_naive_recomputation(counted: Store, first: list[Any], second: list[Any]) -> None:
    """Whatever arrives in whatever order, windows hold what counting every event would give, and so does burn."""
    slo = replace(SUCCESS, group_by=("agent",))
    windows = [(slo.name, w) for w in (*slo.pair_windows, slo.period_minutes)]
    with counted.cursor() as cursor:
        cursor.begin()
        for events in (first, second):
            starts = [(NOW_NS // MINUTE_NS + e[0]) * MINUTE_NS + e[1] * 10**9 for e in events]
            put(cursor, "runs", [run(s, status=e[2], agent=e[3]) for s, e in zip(starts, events, strict=True)])
            slo_events.touch(cursor, [s // MINUTE_NS for s in starts])
            slo_events.refresh(cursor, [slo], NOW_NS)
        burning = burn_rates.burns(slo_events.window_counts(cursor, windows, NOW_NS), slo)
        cursor.rollback()
    for row in burning.iter_rows(named=True):
        good, bad = _naive(first + second, json.loads(row["labels"])["agent"], row["window_minutes"])
        expected = float(Fraction(bad, good + bad) / Fraction("0.05")) if good + bad else None
        assert (row["good"], row["bad"]) == (good, bad)
        assert row["burn"] == (pytest.approx(expected, rel=1e-12) if expected is not None else None)
    assert set(burning["labels"]) >= {json.dumps({"agent": e[3]}, separators=(",", ":")) for e in first + second}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_counts_follow_the_jobs(seed: int, tmp_path: Path) -> None:
    """Pass by pass of the jobs, with roots and tool calls that come late or change where a run began, the counts of
    the touched minutes equal counting everything anew."""
    rng, minute = random.Random(seed), 60.0
    store = empty_store(tmp_path / "s.duckdb")
    runner = Runner(store, PriceBook.frozen(ROOT / "sample_traces/prices.toml"), lambda: NOW_NS)
    slos = [replace(SUCCESS, group_by=("agent",)), replace(TOOLS, filter=())]
    last, rooted = 0, set()
    for turn in range(1, 7):
        now_ns, arriving = NOW_NS + turn * 700 * 10**9, []  # what has no root by the next turn is stuck by then
        for trace in rng.sample(range(1, 9), 4):
            start = NOW_NS / 10**9 - rng.randint(2, 400) * minute
            where: dict[str, Any] = {"trace_hi": trace, "trace_lo": trace, "batch": now_ns // 10**6}
            arriving += [
                tool(last + 10, 7, start + minute, status=rng.choice(["ok", "error"]), **where),
                tool(last + 11, 7, start, status="denied", **where),
            ]
            if rng.random() < 0.4 and trace not in rooted:
                rooted.add(trace)
                arriving.append(agent(7, None, start - minute, status=rng.choice(["ok", "error"]), **where))
            last += 2
        with store.transaction() as cursor:
            rows = stored(arriving)
            offset = turn * 1000  # of the ids of its descriptions
            for table, key in (("facets", "facet"), ("identities", "identity"), ("sources", "source")):
                for row in rows.tables[table]:
                    row[key] += offset
            for row in rows.tables["span_log"]:
                row |= {key: row[key] + offset for key in ("facet", "identity", "source")}
            write(cursor, rows)
        runner.run_pass(now_ns)
        with store.transaction() as cursor:
            slo_events.refresh(cursor, slos, now_ns)
        kept = _all_minutes(store)
        with store.transaction() as cursor:
            cursor.execute("DELETE FROM slo_definitions")
            cursor.execute("DELETE FROM slo_minutes")
            slo_events.refresh(cursor, slos, now_ns)
        assert kept == _all_minutes(store)
        assert kept
    store.close()


def _all_minutes(store: Store) -> list[Any]:
    with store.cursor() as cursor:
        return cursor.execute(
            "SELECT slo, labels, minute, good, bad, left_out FROM slo_minutes "
            "JOIN slo_series USING (series) ORDER BY ALL"
        ).fetchall()


@pytest.mark.parametrize("seed", range(3))
def test_prometheus_computes_the_same(seed: int, tmp_path: Path, program: Callable[[str], Path]) -> None:
    """promtool's rule engine, fed the same per-minute counts, gives the same burns and the same firing pairs."""
    rng, length = random.Random(seed), 1500
    share = [rng.choice([0, 0.02, 0.4, 0.95]) for _ in range(30)]
    counts = [(rng.randint(0, 4), m) for m in range(length)]
    minutes = [(n, sum(rng.random() < share[m * 30 // length] for _ in range(n))) for n, m in counts]
    end = NOW_NS // MINUTE_NS + 1
    rows = [
        run((end - length + m) * MINUTE_NS, status="error" if i < bad else "ok")
        for m, (n, bad) in enumerate(minutes)
        for i in range(n)
    ]
    store = empty_store(tmp_path / "s.duckdb")
    with store.transaction() as cursor:
        put(cursor, "runs", rows)
        slo_events.refresh(cursor, [SUCCESS], NOW_NS)
        windows = [(SUCCESS.name, w) for w in SUCCESS.pair_windows]
        burning = burn_rates.burns(slo_events.window_counts(cursor, windows, NOW_NS), SUCCESS)
    store.close()
    ours = dict(zip(burning["window_minutes"], burning["burn"], strict=True))
    breaching = set(burn_rates.breaches(burning, SUCCESS)["pair"])

    # A sample per minute, evaluated at the last: (w - 1) minutes and a half reach w samples.
    burn = "(sum_over_time(bad[{0}m30s]) / sum_over_time(all[{0}m30s]) / 0.05)"
    exprs = [burn.format(w - 1) for w in SUCCESS.pair_windows]
    pairs = [
        f"{burn.format(p.long_minutes - 1)} > {p.factor} and {burn.format(p.short_minutes - 1)} > {p.factor}"
        for p in PAIRS
    ]
    tests = [
        {"expr": f"abs({e} - {ours[w]!r}) < bool 1e-9", "eval_time": f"{length - 1}m", "exp_samples": [_sample(1)]}
        for e, w in zip(exprs, SUCCESS.pair_windows, strict=True)
    ] + [
        {"expr": f"count({e})", "eval_time": f"{length - 1}m", "exp_samples": [_sample(1)] if i in breaching else []}
        for i, e in enumerate(pairs)
    ]
    series = [
        {"series": "all", "values": " ".join(str(n) for n, _ in minutes)},
        {"series": "bad", "values": " ".join(str(b) for _, b in minutes)},
    ]
    document = {
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": tests}],
    }
    (tmp_path / "rules.test.yml").write_text(yaml.safe_dump(document))
    answer = subprocess.run(
        [program("promtool"), "test", "rules", tmp_path / "rules.test.yml"], capture_output=True, text=True
    )

    assert answer.returncode == 0, answer.stdout + answer.stderr


def _sample(value: float) -> dict[str, Any]:
    return {"labels": "{}", "value": value}


def test_examples_count(cursor: Cursor) -> None:
    """Every shipped example can be counted on an empty store and on one with findings only."""
    put(cursor, "findings", [finding(NOW_NS)])
    examples = openslo.load(ROOT / "analytics/data/slos")
    slo_events.refresh(cursor, examples, NOW_NS)

    assert slo_events.window_counts(cursor, [(s.name, 60) for s in examples], NOW_NS).is_empty()
