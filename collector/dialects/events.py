"""Log events as spans, so that they go the same way as all spans: those of coding agents, and messages of calls."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

from collector.dialects import message_events
from collector.dialects.emitters import Emitter, Event, of_scope
from collector.dialects.resources import scope_of
from collector.otlp import anyvalue
from collector.otlp.wire import MESSAGES

OUTCOME = "event.outcome"  # the attribute that tells the dialect's table of a refusal

_ERROR = 2  # status code of a span
_MAX_DURATION_MS = 86_400_000.0

# What becomes of a record that is no span: outcome and reason in the ledger of ingestion.
UNKNOWN = ("rejected", "log_not_understood")
NAMELESS = ("rejected", "log_without_session")
REDUNDANT = ("dropped", "log_says_nothing_new")


@dataclass(frozen=True)
class Converted:
    """Spans made of the log records of one request, as an ExportTraceServiceRequest, and what became of the others:
    (outcome, reason) -> records."""

    body: bytes
    others: Counter[tuple[str, str]]


def spans_of_logs(body: bytes) -> Converted:
    """The understood records of a checked ExportLogsServiceRequest as spans.

    A span is named after its event, has its attributes and ends when it was logged. It has the trace id of its record,
    with the record's span around it; else one made of session and turn, so that the records of a turn are one trace.
    Span ids are hashes of what tells records apart: a record that is sent again makes the same span again.
    """
    request, others = MESSAGES["TracesRequest"](), Counter[tuple[str, str]]()
    for resource in MESSAGES["LogsRequest"].FromString(body).resource_logs:
        for scope in resource.scope_logs:
            emitter = of_scope(scope_of(scope.scope)[0])
            spans = MESSAGES["ScopeSpans"](scope=scope.scope)
            for record in scope.log_records:
                why_not = _add(spans, emitter, record) if emitter else _add_messages(spans, record)
                if why_not is not None:
                    others[why_not] += 1
            if spans.spans:
                request.resource_spans.add(resource=resource.resource, scope_spans=[spans])
    return Converted(request.SerializeToString(), others)


def _add_messages(spans: Any, record: Any) -> tuple[str, str] | None:
    """The same of a record that is no coding agent's."""
    if not message_events.name_of(record).startswith(message_events.PREFIX):
        return UNKNOWN
    return None if message_events.add_messages(spans, record) else REDUNDANT


def _add(spans: Any, emitter: Emitter, record: Any) -> tuple[str, str] | None:
    """Add the record's span; or say what becomes of a record that is none."""
    told = {a.key: a.value for a in record.attributes}
    name = _text(told, "event.name")
    if not name.startswith(emitter.prefix):
        name = emitter.prefix + name
    event = emitter.events.get(name)
    if event is None or (event.has and event.has.encode() not in told):
        return REDUNDANT if name in emitter.redundant else UNKNOWN
    session, turn = _text(told, emitter.session), _text(told, emitter.turn)
    if not session:
        return NAMELESS
    end_ns = record.time_unix_nano or record.observed_time_unix_nano
    duration_ns = int(min(max(_number(_text(told, "duration_ms")), 0.0), _MAX_DURATION_MS) * 1e6)
    traced = len(record.trace_id) == 16 and any(record.trace_id)
    around = record.span_id if traced and len(record.span_id) == 8 and any(record.span_id) else b""
    root = _id(8, emitter.name, session, turn, "run") if turn else b""
    place = _text(told, emitter.sequence) if emitter.sequence else _content(record)
    said = (place, str(end_ns), _text(told, "call_id"), record.span_id.hex())
    span = spans.spans.add(
        trace_id=record.trace_id if traced else _id(16, emitter.name, session, turn),
        span_id=root if event.starts_run and root else _id(8, emitter.name, session, name, *said),
        parent_span_id=b"" if event.starts_run else around or root,
        name=name.encode(),
        start_time_unix_nano=max(end_ns - duration_ns, 0),
        end_time_unix_nano=end_ns,
        attributes=record.attributes,
    )
    if event.failed:
        span.status.code = _ERROR
    if _denied(event, told):
        span.attributes.add(key=OUTCOME.encode()).value.string_value = b"denied"
    return None


def _denied(event: Event, told: dict[bytes, Any]) -> bool:
    attribute, texts = event.denied
    return any(pattern.fullmatch(_text(told, attribute)) for pattern in texts)


def _id(size: int, *parts: str) -> bytes:
    """An id made of texts, never all zero."""
    digest = hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=size, person=b"log record")
    return digest.digest() if any(digest.digest()) else b"\1" * size


def _content(record: Any) -> str:
    """What tells records apart that have no place in their session: all their attributes, in any order."""
    parts = sorted(a.SerializeToString(deterministic=True) for a in record.attributes)
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).hexdigest()


def _text(told: dict[bytes, Any], key: str) -> str:
    """An attribute as text; empty if it is not there."""
    if not key or (value := told.get(key.encode())) is None:
        return ""
    try:
        python = anyvalue.python_value(value)
    except anyvalue.TooDeep:
        return ""
    return "" if python is None else str(python)


def _number(text: str) -> float:
    try:
        number = float(text or 0)
    except ValueError:
        return 0.0
    return number if number == number else 0.0
