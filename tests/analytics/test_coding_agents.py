"""Coding agents against the truth of their captures: by spans alone, by logs alone, by all signals in any order."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from analytics.reports.counters import counters
from collector.identity import Credential
from collector.ingest import Ingest
from collector.otlp.answers import Signal
from collector.store import Store
from tests.collector.captures import CODING_AGENTS, Scenario, scenarios
from tests.needed import SHARED, missing
from tests.stores import empty_store

pytestmark = pytest.mark.slow

SCENARIOS = [s for s in scenarios() if s.folder.name in CODING_AGENTS]
NOW_NS = 1_795_240_000 * 10**9
OPEN = Credential("open", None, frozenset({"ingest"}))
BOOK = PriceBook.seeded()
WAYS = ("spans", "logs", "all", "reversed", "twice")
STEPWISE = ("all", "reversed")  # with a pass of the jobs after every fourth request, not only at the end
# What a way does not tell: Codex names a refusal in its logs alone.
WITHOUT_REFUSALS = (("codex_cli", "spans"),)
MODELS = """SELECT DISTINCT g.model FROM calls c JOIN call_groups g USING (call_group)
JOIN runs r USING (trace_hi, trace_lo, run_span) WHERE r.session = ? AND g.kind = 'llm.call'"""
SIGNALS: tuple[Signal, ...] = ("traces", "logs", "metrics")

Request = tuple[Signal, bytes]
Rows = list[dict[str, Any]]


def requests(scenario: Scenario) -> list[Request]:
    """Everything that the scenario sent, in the order of arrival."""
    exports = json.loads((scenario.folder / "manifest.json").read_text())["scenarios"][scenario.name]["exports"]
    exports.sort(key=lambda e: e["t"])
    return [(e["signal"], (scenario.folder / e["file"]).read_bytes()) for e in exports]


def sent(way: str) -> list[Request]:
    """The requests of all scenarios, as one way of sending has them."""
    everything = [r for s in SCENARIOS for r in requests(s)]
    only: dict[str, list[Request]] = {
        "spans": [r for r in everything if r[0] == "traces"],
        "logs": [r for r in everything if r[0] == "logs"],
        "reversed": everything[::-1],
        "twice": everything + everything,
    }
    return only.get(way, everything)


@pytest.fixture(scope="module", params=WAYS)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Store]]:
    """A way of sending, and a store that got everything so."""
    if not SCENARIOS:
        missing(f"{SHARED} is not there")
    store = empty_store(tmp_path_factory.mktemp("agents") / "agents.duckdb")
    runner = Runner(store, BOOK, lambda: NOW_NS)

    async def main() -> None:
        ingest = Ingest(store, b"k" * 32, clock_ns=lambda: NOW_NS)
        ingest.start()
        for number, (signal, body) in enumerate(sent(request.param)):
            await ingest.accept(signal, body, OPEN)
            if request.param in STEPWISE and number % 4 == 0:
                runner.run_pass(NOW_NS)
        await ingest.stop()

    asyncio.run(main())
    runner.run_pass(NOW_NS)
    yield request.param, store
    store.close()


def query(store: Store, text: str, *values: Any) -> Rows:
    """The rows of an answer."""
    with store.cursor() as c:
        rows: Rows = c.sql(text, params=list(values)).pl().to_dicts()
        return rows


def session_of(scenario: Scenario) -> str:
    """The session id of a scenario, as the model server saw it."""
    return str(scenario.truth["calls"][0]["session_header"])


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_runs_agree_with_the_truth(scenario: Scenario, told: tuple[str, Store]) -> None:
    """One prompt is one run, whose calls, tokens, tools and refusals are those of the model server's log."""
    way, store = told
    truth, totals = scenario.truth, scenario.truth["totals"]
    (run,) = query(store, "SELECT * FROM runs WHERE session = ?", session_of(scenario))
    assert (run["status"], run["agents"]) == ("ok", [])
    assert run["agent"] == scenario.folder.name.split("_")[0].replace("claude", "claude-code")
    assert run["llm_calls"] - run["llm_errors"] == truth["llm_calls_ok"]
    assert run["llm_errors"] <= len(truth["llm_http_errors"])
    assert run["input_tokens"] == totals["canonical_input_total"]
    assert run["output_tokens"] == totals["canonical_output_total"]
    assert run["cache_read_tokens"] == totals["cached"]
    assert run["cache_write_tokens"] == totals["cache_write"]
    assert run["reasoning_tokens"] == totals.get("reasoning", 0)
    assert (run["tool_calls"], run["tool_errors"]) == (truth["tool_calls_asked"], 0)
    refused = 0 if (scenario.folder.name, way) in WITHOUT_REFUSALS else truth["denied_tool_calls"]
    assert run["tool_denied"] == refused
    assert [r["model"] for r in query(store, MODELS, session_of(scenario))] == truth["models_requested"]


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.folder.name == "claude_code"], ids=str)
def test_the_reported_cost_comes_from_the_logs(scenario: Scenario, told: tuple[str, Store]) -> None:
    """Claude Code's own estimate equals its list price, and counts once whatever else tells of the call."""
    way, store = told
    (run,) = query(store, "SELECT reported_pusd FROM runs WHERE session = ?", session_of(scenario))
    if way == "spans":
        assert run["reported_pusd"] is None
    else:
        assert run["reported_pusd"] == round(scenario.truth["list_price_usd_from_wire"] * 10**12)


def test_nothing_else_becomes_a_run(told: tuple[str, Store]) -> None:
    """Hundreds of internal spans in dozens of traces make no run of their own."""
    _, store = told
    assert query(store, "SELECT count(*) AS runs FROM runs") == [{"runs": len(SCENARIOS)}]


def test_codex_failures_are_told_by_logs_alone(told: tuple[str, Store]) -> None:
    """A failed request of Codex is a failed call with its reason; its spans do not tell of it."""
    way, store = told
    (scenario,) = (s for s in SCENARIOS if str(s) == "codex_cli-retry")
    (run,) = query(store, "SELECT llm_errors FROM runs WHERE session = ?", session_of(scenario))
    assert run["llm_errors"] == (0 if way == "spans" else len(scenario.truth["llm_http_errors"]))


def test_counters_agree_with_the_calls(told: tuple[str, Store]) -> None:
    """What the agents count themselves is what the calls add up to: no export is added twice, cumulative or not."""
    way, store = told
    counted = {
        (r["service"], r["field"]): r["value"]
        for r in query(store, "SELECT service, field, sum(value) AS value FROM metric_sums GROUP BY ALL")
    }
    if way in ("spans", "logs"):
        assert counted == {}
        return
    sums = {"input": 0, "cached": 0, "cache_write": 0, "output": 0}
    for service, folder, first in (
        ("claude-code", "claude_code", "uncached_input_tokens"),
        ("codex_exec", "codex_cli", "input_tokens"),
    ):
        totals = [s.truth["totals"] for s in SCENARIOS if s.folder.name == folder]
        sums = {name: sum(t[name] for t in totals) for name in sums}
        assert counted[(service, first)] == sums["input"]
        assert counted[(service, "cache_read_tokens")] == sums["cached"]
        assert counted[(service, "cache_write_tokens")] == sums["cache_write"]
        assert counted[(service, "output_tokens")] == sums["output"]


def test_counters_show_what_did_not_arrive(told: tuple[str, Store]) -> None:
    """Where all calls arrived nothing differs; a lost call shows as the tokens that are missing."""
    way, store = told
    items = counters(store, NOW_NS)["items"]
    assert bool(items) == (way not in ("spans", "logs"))
    assert [i for i in items if i["difference"]] == []
    if items:
        largest = "SELECT max(input_tokens) AS n FROM calls JOIN call_groups USING (call_group) WHERE dialect = 'codex'"
        (lost,) = query(store, largest)
        with store.cursor() as c:
            c.execute("UPDATE calls SET input_tokens = input_tokens - 100 WHERE input_tokens = ?", [lost["n"]])
            found = [i for i in counters(store, NOW_NS)["items"] if i["difference"]]
            c.execute("UPDATE calls SET input_tokens = input_tokens + 100 WHERE input_tokens = ?", [lost["n"] - 100])
        assert {i["field"] for i in found} == {"input_tokens"}


def test_sending_again_changes_nothing(told: tuple[str, Store]) -> None:
    """A log record that is sent again makes the span that is there already."""
    way, store = told
    kept = query(store, "SELECT count(*) AS n FROM span_log WHERE flags & 32768 <> 0")[0]["n"]
    again = "SELECT sum(items)::BIGINT AS n FROM ingest_events WHERE signal = 'logs' AND outcome = 'deduplicated'"
    assert query(store, again) == [{"n": kept if way == "twice" else None}]
    assert query(store, "SELECT 1 FROM ingest_events WHERE outcome = 'conflicting'") == []


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.truth["denied_tool_calls"]], ids=str)
def test_what_codex_spans_leave_out(scenario: Scenario) -> None:
    """No byte of Codex's spans says that a tool was refused; its logs do."""
    if scenario.folder.name == "codex_cli":
        said = {s: b"".join(b for signal, b in requests(scenario) if signal == s) for s in SIGNALS}
        assert b"reject" not in said["traces"]
        assert b"reject command" in said["logs"]
