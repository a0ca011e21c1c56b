"""Small OTLP requests for tests: spans as dictionaries."""

from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.dialects.engine import TABLES, normalise
from collector.dialects.tables import Tables
from collector.otlp.columns import decode
from tests.collector.captures import table

START_NS = 1_795_200_000 * 10**9


def any_value(value: Any) -> AnyValue:
    """A Python value as AnyValue."""
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case list():
            out = AnyValue()
            out.array_value.values.extend(any_value(v) for v in value)
            return out
        case dict():
            out = AnyValue()
            out.kvlist_value.values.extend(attributes(value))
            return out
        case _:
            return AnyValue(string_value=value)


def attributes(values: dict[str, Any]) -> list[KeyValue]:
    """A dictionary as OTLP attributes."""
    return [KeyValue(key=k, value=any_value(v)) for k, v in values.items()]


def request(*spans: dict[str, Any], scope: str = "", resource: dict[str, Any] | None = None) -> bytes:
    """A request of one scope. A span: `name`, `kind`, `code` and `message` of the
    status, `events` ((name, attributes) pairs); the
    rest are its attributes."""
    body = ExportTraceServiceRequest()
    group = body.resource_spans.add()
    group.resource.attributes.extend(attributes(resource or {}))
    scope_spans = group.scope_spans.add()
    scope_spans.scope.name = scope
    for number, values in enumerate(spans, 1):
        rest = dict(values)
        span: Span = scope_spans.spans.add(trace_id=b"t" * 16, span_id=number.to_bytes(8, "big"))
        span.start_time_unix_nano, span.end_time_unix_nano = START_NS, START_NS + 10**6
        span.name, span.kind = rest.pop("name", ""), rest.pop("kind", 1)
        span.status.code, span.status.message = rest.pop("code", 0), rest.pop("message", "")
        for name, event in rest.pop("events", ()):
            span.events.add(name=name).attributes.extend(attributes(event))
        span.attributes.extend(attributes(rest))
    return body.SerializeToString()


def described(
    *spans: dict[str, Any], scope: str = "", resource: dict[str, Any] | None = None, tables: Tables = TABLES
) -> list[dict[str, Any]]:
    """What normalising makes of these spans, as `captures.table` gives it."""
    return table(normalise(decode([request(*spans, scope=scope, resource=resource)]), tables))
