"""Tool calls read from model messages, in every encoding that emitters use."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.dialects.engine import normalise
from collector.dialects.message_parts import tool_parts, unwrapped
from collector.otlp.columns import decode
from tests.collector.spans import request

CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "p"}
LLM = {"openinference.span.kind": "LLM"}
FLAT_IN, FLAT_OUT = "llm.input_messages", "llm.output_messages"


def parts(span: dict[str, Any], scope: str = "") -> list[tuple[Any, ...]]:
    """(call id, tool, arguments, result, asked, answered) of one span."""
    found = tool_parts(normalise(decode([request(span, scope=scope)])))
    assert set(found.span.tolist()) <= {0}
    columns = (found.call_id, found.tool, found.arguments, found.result, found.asked, found.answered)
    return list(zip(*columns, strict=True))


def text(value: Any) -> str:
    """A value as JSON."""
    return orjson.dumps(value).decode()


ASKED = [("c1", "add", '{"a":1}', None, True, False)]
OUTPUTS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "genai parts",
        "",
        CALL
        | {
            "gen_ai.output.messages": text(
                [
                    {
                        "role": "assistant",
                        "parts": [{"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1}}],
                    }
                ]
            )
        },
    ),
    (
        "openai tool_calls",
        "",
        CALL
        | {
            "gen_ai.completion": text(
                {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "add", "arguments": '{"a":1}'}}]}
            )
        },
    ),
    (
        "openai responses items",
        "",
        CALL
        | {
            "gen_ai.output.messages": text(
                [{"type": "function_call", "id": "fc", "call_id": "c1", "name": "add", "arguments": '{"a":1}'}]
            )
        },
    ),
    (
        "anthropic content",
        "",
        CALL
        | {
            "gen_ai.completion": text(
                [{"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}]}]
            )
        },
    ),
    (
        "bedrock event",
        "strands.telemetry.tracer",
        CALL
        | {
            "events": [
                (
                    "gen_ai.choice",
                    {"message": text([{"toolUse": {"toolUseId": "c1", "name": "add", "input": {"a": 1}}}])},
                )
            ]
        },
    ),
    (
        "gemini response",
        "gcp.vertex.agent",
        CALL
        | {
            "gcp.vertex.agent.llm_response": text(
                {
                    "content": {
                        "role": "model",
                        "parts": [{"functionCall": {"id": "c1", "name": "add", "args": {"a": 1}}}],
                    }
                }
            )
        },
    ),
    (
        "vercel toolCalls",
        "ai",
        {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.response.toolCalls": text([{"toolCallId": "c1", "toolName": "add", "input": '{"a":1}'}]),
        },
    ),
    (
        "openinference flat",
        "",
        LLM
        | {
            f"{FLAT_OUT}.0.message.role": "assistant",
            f"{FLAT_OUT}.0.message.tool_calls.0.tool_call.id": "c1",
            f"{FLAT_OUT}.0.message.tool_calls.0.tool_call.function.name": "add",
            f"{FLAT_OUT}.0.message.tool_calls.0.tool_call.function.arguments": '{"a":1}',
        },
    ),
    (
        "traceloop flat",
        "opentelemetry.instrumentation.openai.v1",
        CALL
        | {
            "gen_ai.completion.0.tool_calls.0.id": "c1",
            "gen_ai.completion.0.tool_calls.0.name": "add",
            "gen_ai.completion.0.tool_calls.0.arguments": '{"a":1}',
        },
    ),
    (
        "array attribute",
        "",
        CALL
        | {
            "gen_ai.output.messages": [
                {
                    "role": "assistant",
                    "parts": [{"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1}}],
                }
            ]
        },
    ),
]


@pytest.mark.parametrize(("scope", "span"), [o[1:] for o in OUTPUTS], ids=[o[0] for o in OUTPUTS])
def test_calls_that_the_model_asked_for(scope: str, span: dict[str, Any]) -> None:
    """Each encoding of an answer gives the same call."""
    assert parts(span, scope) == ASKED


def history(*messages: dict[str, Any]) -> dict[str, Any]:
    """A model call with these input messages."""
    return CALL | {"gen_ai.input.messages": text(list(messages))}


USER = {"role": "user", "parts": [{"type": "text", "content": "add"}]}


def asks(call_id: str) -> dict[str, Any]:
    """An assistant message with one call."""
    return {"role": "assistant", "parts": [{"type": "tool_call", "id": call_id, "name": "add", "arguments": {}}]}


def answers(call_id: str, result: str) -> dict[str, Any]:
    """A tool message."""
    return {"role": "tool", "parts": [{"type": "tool_call_response", "id": call_id, "response": result}]}


def test_only_the_results_at_the_end_of_an_input_count() -> None:
    """Older history belongs to earlier calls; results that nobody has commented on yet are this call's news."""
    assert parts(history(USER, asks("c1"), answers("c1", "2"))) == [("c1", "add", None, "2", False, True)]
    assert parts(history(USER, asks("c1"), answers("c1", "2"), asks("c2"), answers("c2", "3"))) == [
        ("c2", "add", None, "3", False, True)
    ]
    assert parts(history(USER, asks("c1"), answers("c1", "2"), {"role": "assistant", "parts": []}, USER)) == []


def test_flat_results_follow_the_same_rule() -> None:
    """Flattened messages are read in the order of their numbers, two digits included."""
    early = {f"{FLAT_IN}.{i}.message.role": "user" for i in range(9)}
    span = {
        **LLM,
        **early,
        f"{FLAT_IN}.9.message.tool_calls.0.tool_call.id": "c1",
        f"{FLAT_IN}.9.message.tool_calls.0.tool_call.function.name": "add",
        f"{FLAT_IN}.10.message.role": "tool",
        f"{FLAT_IN}.10.message.tool_call_id": "c1",
        f"{FLAT_IN}.10.message.content": "2",
    }
    assert parts(span) == [("c1", "add", None, "2", False, True)]
    assert parts({**span, f"{FLAT_IN}.11.message.role": "user"}) == []


def test_a_call_without_an_id_gets_one_of_its_span() -> None:
    """An id made of trace, span and place keeps such calls apart, and is the same each time."""
    span = {
        **CALL,
        "gen_ai.completion.0.function_call.name": "add",
        "gen_ai.completion.0.function_call.arguments": "{}",
    }
    (row,) = parts(span, "litellm")
    assert row[0] == f"{(b't' * 16).hex()}-{1:016x}:0"
    assert row[1:] == ("add", "{}", None, True, False)


def test_messages_without_tools_are_not_read() -> None:
    """Text that merely speaks of tools costs no parsing: no row passes the filter."""
    span = CALL | {"gen_ai.output.messages": text([{"role": "assistant", "parts": [{"content": "use the tool"}]}])}
    assert len(normalise(decode([request(span)])).messages) == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["tool_call", "name", "id", "tool"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "role",
                    "id",
                    "name",
                    "arguments",
                    "parts",
                    "content",
                    "toolUse",
                    "toolResult",
                    "tool_calls",
                    "function",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_message_can_break_the_reading(document: Any) -> None:
    """Whatever JSON stands where messages should, reading ends with rows that are whole."""
    span = CALL | {"gen_ai.input.messages": text(document), "gen_ai.output.messages": text([document])}
    for call_id, tool, arguments, result, asked, answered in parts(span):
        assert isinstance(call_id, str)
        assert asked or answered
        assert not asked or (isinstance(tool, str) and isinstance(arguments, str))
        assert not answered or isinstance(result, str)


def test_wrappings_of_arguments_and_results_are_left_out() -> None:
    """Ids and step numbers that LangChain wraps around arguments and results do not make them look new."""
    step = b'{"input_str": "{}", "metadata": {"langgraph_step": %d}, "inputs": {"city": "Oslo"}}'
    assert unwrapped(step % 1) == unwrapped(step % 3) == b'{"city":"Oslo"}'
    message = '{"lc": 1, "type": "constructor", "kwargs": {"content": "sunny", "tool_call_id": "c1"}}'
    recorded = '{"output": ' + message + ', "kwargs": {"tags": ["seq:step:1"]}}'
    langsmith = '{"output":{"content":"sunny","tool_call_id":"c1"}}'
    for wrapped in (message, recorded, langsmith, '{"type": "tool", "data": {"content": "sunny", "id": "m1"}}'):
        assert unwrapped(wrapped.encode()) == b"sunny"
    for plain in (b'{"city": "Oslo"}', b"sunny", b'{"input_str": "x"}', b'{"lc": 1}', b'{"lc" broken'):
        assert unwrapped(plain) == plain
