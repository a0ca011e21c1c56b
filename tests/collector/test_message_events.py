"""Messages that travel in log events: below their call, read like all messages, the same when they are sent again."""

from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValueList

from collector.dialects.engine import normalise
from collector.dialects.events import REDUNDANT, UNKNOWN, spans_of_logs
from collector.dialects.message_parts import tool_parts
from collector.otlp.columns import decode
from tests.collector.captures import table

NOW_NS = 1_795_240_000 * 10**9
IDS = {"trace_id": b"t" * 16, "span_id": b"c" * 8}
CALL = {"id": "call-1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
CHOICE = {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "tool_calls": [CALL]}}
PART = {"type": "tool_call", "id": "call-1", "name": "get_weather", "arguments": {}}
OUTPUT = [{"role": "assistant", "parts": [PART]}]


def value(python: Any) -> AnyValue:
    """A Python value as it travels."""
    if isinstance(python, dict):
        entries = [{"key": k, "value": value(v)} for k, v in python.items()]
        return AnyValue(kvlist_value=KeyValueList(values=entries))  # type: ignore[arg-type]
    if isinstance(python, list):
        return AnyValue(array_value={"values": [value(v) for v in python]})  # type: ignore[arg-type]
    return AnyValue(int_value=python) if isinstance(python, int) else AnyValue(string_value=python)


def logs(name: str, body: Any = None, *, named: bool = True, **fields: Any) -> bytes:
    """A request with one record; `attributes` may be among the fields, `named`: by the field of its own."""
    message = ExportLogsServiceRequest()
    scope = message.resource_logs.add().scope_logs.add()
    scope.scope.name = "opentelemetry.instrumentation.anything"
    told = fields.pop("attributes", {}) | ({} if named else {"event.name": name})
    record = scope.log_records.add(**{"time_unix_nano": NOW_NS, **IDS} | fields)
    record.event_name = name if named else ""
    if body is not None:
        record.body.CopyFrom(value(body))
    for key, python in told.items():
        record.attributes.add(key=key).value.CopyFrom(value(python))
    return message.SerializeToString()


def parts(*bodies: bytes) -> list[tuple[str, str | None, str | None, bool, bool]]:
    """(call id, tool, result, asked, answered) of the tool calls that some requests name."""
    found = tool_parts(normalise(decode([spans_of_logs(body).body for body in bodies])))
    return list(zip(found.call_id, found.tool, found.result, found.asked, found.answered, strict=True))


@pytest.mark.parametrize(
    "asked",
    [
        logs("gen_ai.choice", CHOICE),
        logs("gen_ai.choice", CHOICE, named=False),
        logs("gen_ai.client.inference.operation.details", attributes={"gen_ai.output.messages": OUTPUT}),
    ],
    ids=["an event a message", "named by its attribute", "all messages in one"],
)
def test_an_answer_asks_for_tools(asked: bytes) -> None:
    """The tool calls of an answer are those that its event names, whichever generation of the conventions it is of."""
    assert parts(asked) == [("call-1", "get_weather", None, True, False)]


def test_a_result_answers_its_call() -> None:
    """The event of a tool's message says by its name whose words these are, and by `id` which call they answer."""
    answered = parts(logs("gen_ai.tool.message", {"id": "call-1", "content": "rain"}))
    assert answered == [("call-1", None, "rain", False, True)]


def test_a_record_lies_below_its_call_and_says_nothing_of_its_own() -> None:
    """The span is `other`, in the trace and below the span of the record, at the time of the record."""
    spans = decode([spans_of_logs(logs("gen_ai.choice", CHOICE)).body])
    (row,) = table(normalise(spans))
    assert (row["kind"], row["dialect"], row["mapping"]) == ("other", "genai-messages", "exact")
    assert row["trace"] == (int.from_bytes(b"t" * 8, "big"),) * 2
    assert row["parent_id"] == int.from_bytes(b"c" * 8, "big")
    assert (spans.start_ns.tolist(), spans.duration_ns.tolist()) == ([NOW_NS], [0])


def test_the_same_record_is_the_same_span() -> None:
    """Sent again it has the same id; the answer of another call has another."""
    sent = (logs("gen_ai.choice", CHOICE, span_id=call * 8) for call in (b"c", b"c", b"d"))
    first, second, other = (int(decode([spans_of_logs(body).body]).span_id[0]) for body in sent)
    assert first == second
    assert first != other


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (logs("gen_ai.user.message", {"content": "which tool?"}), REDUNDANT),
        (logs("gen_ai.choice", {"message": {"content": "done"}}), REDUNDANT),
        (logs("gen_ai.choice", CHOICE, span_id=b""), REDUNDANT),
        (logs("gen_ai.choice"), REDUNDANT),
        (logs("http.request", CHOICE), UNKNOWN),
    ],
    ids=["what a person said", "an answer without tools", "of no call", "without a body", "another event"],
)
def test_what_names_no_tool_is_no_span(body: bytes, why: tuple[str, str]) -> None:
    """Records that add nothing make no span, and are counted as such."""
    converted = spans_of_logs(body)
    assert converted.others == {why: 1}
    assert len(decode([converted.body])) == 0


def test_deep_bodies_cost_themselves_alone() -> None:
    """A body beyond the depth that is kept is left out; its neighbours are read."""
    deep: Any = {"tool": "x"}
    for _ in range(34):
        deep = [deep]
    assert parts(logs("gen_ai.choice", deep), logs("gen_ai.choice", CHOICE)) == [
        ("call-1", "get_weather", None, True, False)
    ]
