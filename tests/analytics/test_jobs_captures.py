"""Real captures through receiver and jobs: calls, tokens, tools and loops as model server and tools logged them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from collector.identity import Credential
from collector.ingest import Ingest
from collector.otlp.answers import Signal
from collector.otlp.columns import decode
from collector.store import Store
from tests.collector.captures import CODING_AGENTS, Scenario, content, scenarios

pytestmark = pytest.mark.slow

NOW_NS = 1_795_300_000 * 10**9
OPEN = Credential("open", None, frozenset({"ingest"}))
SCENARIOS = [s for s in scenarios() if s.folder.name not in CODING_AGENTS]
RESPONSES_API = "openai_v2-responses_api"  # that instrumentation does not see this API
BLOCKED = "google_adk-policy_block"  # sent as a failed tool call
ANSWERED_ELSEWHERE = (
    "litellm_otel-tool_error"  # what a tool answered lies in the next call's trace, which nothing joins
)
UNSEEN_LOOPS = ("google_adk-loop8", "litellm_otel-loop8")  # no arguments, a trace a call

TRACE_A_CALL = ("litellm_otel", "no_root")  # nothing on the wire joins the calls of one execution


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """The runs of each scenario, after one pass over all captures."""
    store = Store(tmp_path_factory.mktemp("captures") / "spanledger.duckdb")
    store.migrate("collector")
    store.migrate("analytics")
    owner: dict[tuple[int, int], str] = {}

    async def send() -> None:
        ingest = Ingest(store, b"k" * 32, clock_ns=lambda: NOW_NS)
        ingest.start()
        for scenario in SCENARIOS:
            for body in scenario.bodies():
                spans = decode([body])
                owner.update(
                    dict.fromkeys(zip(spans.trace_hi.tolist(), spans.trace_lo.tolist(), strict=True), str(scenario))
                )
                await ingest.accept("traces", body, OPEN)
            for file in scenario.files("logs"):
                await ingest.accept("logs", content(file), OPEN)
        await ingest.stop()

    asyncio.run(send())
    Runner(store, PriceBook.seeded(), lambda: NOW_NS).run_pass(NOW_NS)
    found: dict[str, list[dict[str, Any]]] = {str(s): [] for s in SCENARIOS}
    with store.cursor() as c:
        for run in c.sql("SELECT * FROM runs").pl().to_dicts():
            found[owner[run["trace_hi"], run["trace_lo"]]].append(run)
    store.close()
    yield found


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_runs_agree_with_the_truth(scenario: Scenario, runs: dict[str, list[dict[str, Any]]]) -> None:
    """Model calls that succeeded, their tokens, tool calls and which of them failed, policy checks and loops, each once
    and none invented."""
    truth, mine, name = scenario.truth, runs[str(scenario)], str(scenario)
    counted = ("input_tokens", "output_tokens", "tool_calls", "tool_errors", "policy_checks", "findings")
    told = {c: sum(run[c] for run in mine) for c in counted}
    if name != RESPONSES_API:
        assert sum(run["llm_calls"] - run["llm_errors"] for run in mine) == truth["llm_calls_ok"]
        assert told["input_tokens"] == truth["totals"]["input_including_cache"]
        assert told["output_tokens"] == truth["totals"]["output"]
    if name not in (BLOCKED, RESPONSES_API):
        assert told["tool_calls"] == truth["tool_execution_count"]
        assert told["policy_checks"] == len(truth["guardrail_or_policy_checks"])
        assert told["tool_errors"] == (0 if name == ANSWERED_ELSEWHERE else truth["tool_errors"])
    assert bool(told["findings"]) == (truth["loops"] and name not in UNSEEN_LOOPS)
    assert {run["status"] for run in mine} <= {"ok", "error"}


@pytest.mark.parametrize(
    ("name", "words"), [(BLOCKED, ("deny", "denied", "before_tool", "block")), ("google_adk-loop8", ("refund policy",))]
)
@pytest.mark.usefixtures("shared")
def test_what_runs_lack_is_in_no_byte(name: str, words: tuple[str, ...]) -> None:
    """That a callback refused a tool, and what a tool was asked, is told by no signal of the capture."""
    (scenario,) = (s for s in SCENARIOS if str(s) == name)
    assert [word for word in words if word.encode() in scenario.every_byte()] == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_an_execution_is_one_run(scenario: Scenario, runs: dict[str, list[dict[str, Any]]]) -> None:
    """Nothing that surrounds an execution (handshakes, tool servers) makes a run of its own, and the run failed if the
    program did. Where each call is a trace of its own there are as many runs as calls."""
    mine = runs[str(scenario)]
    calls = sum(run["llm_calls"] for run in mine)

    assert len(mine) == (calls if any(part in str(scenario) for part in TRACE_A_CALL) else 1)
    assert any(run["status"] == "error" for run in mine) == scenario.truth["run_failed"]


@pytest.mark.parametrize("order", [("logs", "traces"), ("traces", "logs"), ("logs", "traces", "logs")], ids=" ".join)
@pytest.mark.usefixtures("shared")
def test_messages_in_logs_count_whenever_they_come(order: tuple[Signal, ...], tmp_path: Path) -> None:
    """Logs with a call's messages are no run; before, after, or again: the run's tool calls are those that ran."""
    (scenario,) = (s for s in SCENARIOS if str(s) == "openai_v2-loop8")
    store = Store(tmp_path / "spanledger.duckdb")
    store.migrate("collector")
    store.migrate("analytics")
    runner, seen = Runner(store, PriceBook.seeded(), lambda: NOW_NS), []

    async def send() -> None:
        ingest = Ingest(store, b"k" * 32, clock_ns=lambda: NOW_NS)
        ingest.start()
        for signal in order:
            for file in scenario.files(signal):
                await ingest.accept(signal, content(file), OPEN)
            runner.run_pass(NOW_NS)
            with store.cursor() as c:
                seen.append(c.execute("SELECT tool_calls, findings FROM runs").fetchall())
        await ingest.stop()

    asyncio.run(send())
    store.close()
    assert seen[0] == ([] if order[0] == "logs" else [(0, 0)])
    assert seen[-1] == [(scenario.truth["tool_execution_count"], 1)]
