"""Every capture against its truth, as far as one span at a time can tell; and no content in what comes out."""

from collections import Counter
from typing import Any

import numpy as np
import orjson
import pytest

from collector.dialects.engine import Normalised, normalise
from collector.dialects.message_parts import tool_parts
from collector.semconv import Flag
from tests.collector.captures import CODING_AGENTS, RECORDED, Scenario, leaf_calls, scenarios, table

SHARED_ONES = scenarios()
SCENARIOS = SHARED_ONES + scenarios(RECORDED)  # more of the recorded ones is held by tests/captures
FRAMEWORKS = [s for s in SHARED_ONES if s.folder.name not in CODING_AGENTS]
AGENTS = [s for s in SHARED_ONES if s.folder.name in CODING_AGENTS]

# What an emitter does not send. Each entry is proven: the value is in no byte of the capture.
WITHOUT_CACHE = ("openai_v2",)
WITHOUT_SPANS = ("openai_v2-responses_api",)  # the instrumentation does not know this API
# Sets whose instrumentation sends no tool spans; theirs are read from the messages, where those are in the traces.
WITHOUT_TOOL_SPANS = ("litellm_otel", "oi_anthropic", "oi_openai", "openai_v2", "traceloop_openai")
WITHOUT_MESSAGES = ("openai_v2",)  # they travel in logs
# A tool that a callback refused never ran, but its span is that of a failed tool.
REFUSED_TOOL = ("google_adk-policy_block",)
# Nothing says whether their input holds what a cache held; the provider decides (tests/captures holds the totals).
ASSUMED = ("agent_framework", "agent_framework_chat", "otel_bedrock", "vercel_ai_7")
# These name the model that was asked, not the one that answered.
WITHOUT_RESPONSE_MODEL = ("strands", "google_adk", "litellm_otel-streaming")
ONLY_IN_METRICS = ("google_adk",)  # sums over calls, with nothing that ties them to one

# Attributes that can hold content (the redact lists of the dialects), by what their keys contain.
CONTENT_KEYS = (
    *("input.value", "output.value", "messages", "prompt", "completion", "arguments", "call.result", "choices"),
    *("observation.input", "observation.output", "entity.input", "entity.output", "response.text", "final_result"),
    *("toolCall.args", "toolCall.result", "tool_input", "metadata", "llm.tools", "tool.parameters", "headers"),
    *("tool.definitions", "invocation_parameters", "json_schema", "model_request_parameters", "mcp.response.value"),
    *("llm_request", "llm_response", ":content", ":message", "exception.message", "stacktrace", "description"),
    "status_message",
)


def sums(calls: list[dict[str, Any]]) -> dict[str, int]:
    """Token totals of some calls."""
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    return {n: sum(c.get(n, 0) for c in calls) for n in names}


@pytest.mark.parametrize("scenario", FRAMEWORKS, ids=str)
def test_calls_and_tokens_are_those_of_the_model_server(scenario: Scenario) -> None:
    """Successful calls, their tokens and models are the truth's, or the emitter provably left them out."""
    if str(scenario) in WITHOUT_SPANS:
        assert b"gen_ai" not in scenario.every_byte()
        return
    totals = scenario.truth["totals"]
    calls = leaf_calls(table(normalise(scenario.spans())))
    expected = {
        "input_tokens": totals["input_including_cache"],
        "output_tokens": totals["output"],
        "cache_read_tokens": totals["cached_input"],
        "cache_write_tokens": totals["cache_write"],
        "reasoning_tokens": totals["reasoning"],
    }
    if scenario.folder.name in WITHOUT_CACHE:
        assert b"cache" not in scenario.every_byte()
        expected["cache_read_tokens"] = 0
    assert sums(calls) == expected
    answered = [c for c in calls if c["status"] == "ok"]
    assert len(answered) == scenario.truth["llm_calls_ok"]
    models = {c["model"] for c in answered}
    if scenario.folder.name in WITHOUT_RESPONSE_MODEL or str(scenario) in WITHOUT_RESPONSE_MODEL:
        assert all(m.endswith("gpt-4o-mini") for m in models)
        signals = b"".join(scenario.bodies()) if scenario.folder.name in ONLY_IN_METRICS else scenario.every_byte()
        assert not any(m.encode() in signals for m in scenario.truth["models_responded"])
    else:
        assert sorted(models) == scenario.truth["models_responded"]


@pytest.mark.parametrize("scenario", FRAMEWORKS, ids=str)
def test_tool_calls_are_those_that_ran(scenario: Scenario) -> None:
    """Tool spans, or the tool calls named in messages, number what the tools logged, failures included."""
    normalised = normalise(scenario.spans())
    tools = [r for r in table(normalised) if r["kind"] == "tool.call"]
    ran, failed = scenario.truth["tool_execution_count"], scenario.truth["tool_errors"]
    if scenario.folder.name not in WITHOUT_TOOL_SPANS:
        refused = str(scenario) in REFUSED_TOOL
        assert len(tools) == ran + refused
        assert sum(t["status"] == "error" for t in tools) == failed + refused
        return
    parts = tool_parts(normalised)
    asked = {
        call_id: tool
        for call_id, tool, is_asked in zip(parts.call_id, parts.tool, parts.asked, strict=True)
        if is_asked
    }
    if scenario.folder.name in WITHOUT_MESSAGES:
        assert not asked
        return
    assert not tools
    assert Counter(asked.values()) == Counter(t["name"] for t in scenario.truth["tool_executions"])
    assert len(asked) == ran


@pytest.mark.parametrize("scenario", AGENTS, ids=str)
def test_coding_agents_spans_hold_every_answered_call(scenario: Scenario) -> None:
    """Claude Code counts cached tokens apart, Codex within: both become the same inclusive totals."""
    totals = scenario.truth["totals"]
    calls = leaf_calls(table(normalise(scenario.spans())))
    assert len(calls) == scenario.truth["llm_calls_ok"]
    assert sums(calls)["input_tokens"] == totals["canonical_input_total"]
    assert sums(calls)["output_tokens"] == totals["canonical_output_total"]
    assert sums(calls)["cache_read_tokens"] == totals["cached"]
    assert sums(calls)["cache_write_tokens"] == totals["cache_write"]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_sums_on_parents_are_flagged(scenario: Scenario) -> None:
    """Whatever has tokens and is not a model call carries AGGREGATE, so that nobody adds it up."""
    for row in table(normalise(scenario.spans())):
        has_usage = "input_tokens" in row or "output_tokens" in row
        assert bool(row["flags"] & Flag.AGGREGATE) == (has_usage and row["kind"] != "llm.call")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_no_basis_has_to_be_guessed(scenario: Scenario) -> None:
    """For every emitter the basis of its counts is known, but for those that are marked, rightly, as assumed."""
    doubtful = Flag.USAGE_ABSURD if scenario.folder.name in ASSUMED else Flag.USAGE_ASSUMED | Flag.USAGE_ABSURD
    assert not any(r["flags"] & doubtful for r in table(normalise(scenario.spans())))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_nothing_of_content_is_in_what_comes_out(scenario: Scenario) -> None:
    """No sentence of a prompt, answer, argument or result is in a description, a kept value or a key."""
    normalised = normalise(scenario.spans())
    out = "\n".join(_texts_out(normalised))
    for sentence in _sentences(normalised):
        assert sentence not in out, sentence


def _texts_out(normalised: Normalised) -> list[str]:
    attributes = normalised.spans.attributes
    rows = (*normalised.identity.rows, *normalised.source.rows, *normalised.facet.rows)
    texts = [t for row in rows for t in row if t]
    return texts + attributes.texts(normalised.kept).values + list(normalised.dropped_keys)


def _sentences(normalised: Normalised) -> set[str]:
    """Texts of 12 characters and more, with a space, anywhere in a value that can hold content."""
    attributes = normalised.spans.attributes
    held = [any(word in key for word in CONTENT_KEYS) for key in attributes.keys]
    rows = np.flatnonzero(np.array(held, np.bool_)[attributes.key]).astype(np.int32)
    found: set[str] = set()
    for text in attributes.texts(rows).values:
        found |= set(_strings(text))
    return {s for s in found if len(s) >= 12 and " " in s}


def _strings(text: str) -> list[str]:
    """The text, and all texts in its JSON if it is some."""
    try:
        waiting: list[Any] = [orjson.loads(text)]
    except orjson.JSONDecodeError:
        return [text]
    found = [text]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return found
