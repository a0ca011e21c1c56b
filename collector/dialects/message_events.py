"""Log events of the GenAI conventions that hold a call's messages, as spans below that call.

Some instrumentations tell of tools there and nowhere else. What such a span holds goes the way of all messages: tool
calls are read, contents hashed. Names of events and attributes: OpenTelemetry GenAI semantic conventions up to 1.36 (an
event for each message) and since 1.37 (one event with all messages of a call).
"""

import hashlib
from typing import Any

import orjson

from collector.otlp import anyvalue

INPUT, OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
ANSWER, RESULT, DETAILS = "gen_ai.choice", "gen_ai.tool.message", "gen_ai.client.inference.operation.details"
PREFIX = "gen_ai."

_TOOL_WORDS = (b"tool", b"function")
"""Messages that name a tool have one of these in a key, whatever their form."""


def name_of(record: Any) -> str:
    """The event's name: the field of its own, or the attribute of older emitters. Empty: it is no event."""
    told = record.event_name or next((a.value.string_value for a in record.attributes if a.key == b"event.name"), b"")
    return anyvalue.text(told)


def add_messages(spans: Any, record: Any) -> bool:
    """Add a span with the messages of a record to a ScopeSpans; False where they name no tool, or the record no call.

    The span lies below the record's own, begins and ends when the record was made, and has an id made of the record:
    sent again, it is the same.
    """
    messages = _messages(name_of(record), record)
    if not messages or len(record.trace_id) != 16 or len(record.span_id) != 8:
        return False
    at_ns = record.time_unix_nano or record.observed_time_unix_nano
    digest = hashlib.blake2b(record.SerializeToString(deterministic=True), digest_size=8, person=b"log record").digest()
    span = spans.spans.add(
        trace_id=record.trace_id,
        span_id=digest if any(digest) else b"\1" * 8,
        parent_span_id=record.span_id,
        name=name_of(record).encode(),
        start_time_unix_nano=at_ns,
        end_time_unix_nano=at_ns,
    )
    for key, text in messages.items():
        span.attributes.add(key=key.encode()).value.string_value = text
    return True


def _messages(name: str, record: Any) -> dict[str, bytes]:
    """The messages of a record that name a tool, as JSON, by what they are to the call."""
    if name == DETAILS:
        sent = {anyvalue.text(a.key): a.value for a in record.attributes if a.key in (INPUT.encode(), OUTPUT.encode())}
    elif name in (ANSWER, RESULT):
        sent = {OUTPUT if name == ANSWER else INPUT: record.body}
    else:
        return {}
    found = {}
    for key, value in sent.items():
        if name != RESULT and not any(word in value.SerializeToString() for word in _TOOL_WORDS):
            continue
        try:
            said = anyvalue.python_value(value)
        except anyvalue.TooDeep:
            continue
        if name == RESULT and isinstance(said, dict):  # the event says what the message leaves out: its role
            said = said | {"role": "tool", "tool_call_id": said.get("tool_call_id") or said.get("id")}
        found[key] = said.encode() if isinstance(said, str) else orjson.dumps(said)
    return found
