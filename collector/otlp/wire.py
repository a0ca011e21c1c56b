"""The OTLP messages as this receiver reads them, and the check of one request's bytes.

Same field numbers as opentelemetry-proto, three deliberate differences (fields that nobody reads are left out):
- every string is `bytes`: invalid UTF-8 is repaired per value instead of costing the request;
- arrays and key-value lists inside AnyValue are `bytes`, read on demand to a bounded depth, so that no
  nesting can exhaust a stack;
- resource, scope, event and link are `bytes`: the first two repeat from request to request and are
  looked up whole, the others are decoded only where they are used.
"""

from typing import Any, Literal

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from collector.errors import Refused

_F = descriptor_pb2.FieldDescriptorProto
_BYTES, _REPEATED = _F.TYPE_BYTES, True

# message -> (field, number, protobuf type or message name, repeated)
_MESSAGES: dict[str, tuple[tuple[str, int, int | str, bool], ...]] = {
    "AnyValue": (
        ("string_value", 1, _BYTES, False),
        ("bool_value", 2, _F.TYPE_BOOL, False),
        ("int_value", 3, _F.TYPE_INT64, False),
        ("double_value", 4, _F.TYPE_DOUBLE, False),
        ("array_value", 5, _BYTES, False),
        ("kvlist_value", 6, _BYTES, False),
        ("bytes_value", 7, _BYTES, False),
    ),
    "KeyValue": (("key", 1, _BYTES, False), ("value", 2, "AnyValue", False)),
    "ArrayValue": (("values", 1, "AnyValue", _REPEATED),),
    "KeyValueList": (("values", 1, "KeyValue", _REPEATED),),
    "Attributed": (  # a Resource (attributes = 1)
        ("attributes", 1, "KeyValue", _REPEATED),
    ),
    "Scope": (
        ("name", 1, _BYTES, False),
        ("version", 2, _BYTES, False),
        ("attributes", 3, "KeyValue", _REPEATED),
    ),
    "Event": (("name", 2, _BYTES, False), ("attributes", 3, "KeyValue", _REPEATED)),
    "Status": (("message", 2, _BYTES, False), ("code", 3, _F.TYPE_INT32, False)),
    "Span": (
        ("trace_id", 1, _BYTES, False),
        ("span_id", 2, _BYTES, False),
        ("trace_state", 3, _BYTES, False),
        ("parent_span_id", 4, _BYTES, False),
        ("name", 5, _BYTES, False),
        ("kind", 6, _F.TYPE_INT32, False),
        ("start_time_unix_nano", 7, _F.TYPE_FIXED64, False),
        ("end_time_unix_nano", 8, _F.TYPE_FIXED64, False),
        ("attributes", 9, "KeyValue", _REPEATED),
        ("dropped_attributes_count", 10, _F.TYPE_UINT32, False),
        ("events", 11, _BYTES, _REPEATED),
        ("status", 15, "Status", False),
        ("flags", 16, _F.TYPE_FIXED32, False),
    ),
    "ScopeSpans": (("scope", 1, _BYTES, False), ("spans", 2, "Span", _REPEATED)),
    "ResourceSpans": (("resource", 1, _BYTES, False), ("scope_spans", 2, "ScopeSpans", _REPEATED)),
    "TracesRequest": (("resource_spans", 1, "ResourceSpans", _REPEATED),),
    "LogRecord": (
        ("time_unix_nano", 1, _F.TYPE_FIXED64, False),
        ("body", 5, "AnyValue", False),
        ("attributes", 6, "KeyValue", _REPEATED),
        ("trace_id", 9, _BYTES, False),
        ("span_id", 10, _BYTES, False),
        ("observed_time_unix_nano", 11, _F.TYPE_FIXED64, False),
        ("event_name", 12, _BYTES, False),
    ),
    "ScopeLogs": (("scope", 1, _BYTES, False), ("log_records", 2, "LogRecord", _REPEATED)),
    "ResourceLogs": (("resource", 1, _BYTES, False), ("scope_logs", 2, "ScopeLogs", _REPEATED)),
    "LogsRequest": (("resource_logs", 1, "ResourceLogs", _REPEATED),),
    "Unread": (("data_points", 1, _BYTES, _REPEATED),),
    "NumberPoint": (
        ("start_time_unix_nano", 2, _F.TYPE_FIXED64, False),
        ("time_unix_nano", 3, _F.TYPE_FIXED64, False),
        ("as_double", 4, _F.TYPE_DOUBLE, False),
        ("as_int", 6, _F.TYPE_SFIXED64, False),
        ("attributes", 7, "KeyValue", _REPEATED),
    ),
    "HistogramPoint": (
        ("start_time_unix_nano", 2, _F.TYPE_FIXED64, False),
        ("time_unix_nano", 3, _F.TYPE_FIXED64, False),
        ("sum", 5, _F.TYPE_DOUBLE, False),
        ("attributes", 9, "KeyValue", _REPEATED),
    ),
    "Sum": (("data_points", 1, "NumberPoint", _REPEATED), ("aggregation_temporality", 2, _F.TYPE_INT32, False)),
    "Histogram": (
        ("data_points", 1, "HistogramPoint", _REPEATED),
        ("aggregation_temporality", 2, _F.TYPE_INT32, False),
    ),
    "Metric": (
        ("name", 1, _BYTES, False),
        ("gauge", 5, "Unread", False),
        ("sum", 7, "Sum", False),
        ("histogram", 9, "Histogram", False),
        ("exponential_histogram", 10, "Unread", False),
        ("summary", 11, "Unread", False),
    ),
    "ScopeMetrics": (("scope", 1, _BYTES, False), ("metrics", 2, "Metric", _REPEATED)),
    "ResourceMetrics": (("resource", 1, _BYTES, False), ("scope_metrics", 2, "ScopeMetrics", _REPEATED)),
    "MetricsRequest": (("resource_metrics", 1, "ResourceMetrics", _REPEATED),),
}
_ONEOF = "AnyValue"


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="spanledger_wire.proto", package="wire", syntax="proto3")
    for message, fields in _MESSAGES.items():
        m = file.message_type.add(name=message)
        if message == _ONEOF:
            m.oneof_decl.add(name="value")
        for name, number, kind, repeated in fields:
            f = m.field.add(name=name, number=number, label=_F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL)
            if isinstance(kind, str):
                f.type, f.type_name = _F.TYPE_MESSAGE, f".wire.{kind}"
            else:
                f.type = kind  # type: ignore[assignment]
            if message == _ONEOF:
                f.oneof_index = 0
    return file


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_file())
DESCRIPTORS: dict[str, Any] = {name: _pool.FindMessageTypeByName(f"wire.{name}") for name in _MESSAGES}
MESSAGES: dict[str, Any] = {name: message_factory.GetMessageClass(d) for name, d in DESCRIPTORS.items()}

# signal -> (our message, its repeated field, its name in the OTLP specification)
_REQUESTS = {
    "traces": (MESSAGES["TracesRequest"], "resource_spans", "ExportTraceServiceRequest"),
    "logs": (MESSAGES["LogsRequest"], "resource_logs", "ExportLogsServiceRequest"),
    "metrics": (MESSAGES["MetricsRequest"], "resource_metrics", "ExportMetricsServiceRequest"),
}


def check(signal: Literal["traces", "metrics", "logs"], body: bytes) -> bool:
    """Validate the wire format of an export request; False if it holds nothing at all.

    Raises Refused when the bytes are not such a message.
    """
    message, field, name = _REQUESTS[signal]
    try:
        return len(getattr(message.FromString(body), field)) > 0
    except DecodeError as e:
        raise Refused(
            f"the body of {len(body)} bytes is not a valid {name} protobuf message: "
            "truncated, or another format than its Content-Type says"
        ) from e
