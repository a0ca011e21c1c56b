"""OTLP/JSON becomes the same protobuf, and one bad value costs only itself."""

import base64
import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from collector.errors import Refused
from collector.otlp import wire
from collector.otlp.anyvalue import MAX_DEPTH
from collector.otlp.jsonbody import MAX_BRACKETS, Converted, encode, parse, to_protobuf, without_deep_values
from collector.otlp.jsonfields import MAX_VALUES

KINDS: dict[Any, Any] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
# Messages built from dicts: the stubs know only messages in messages.
AnyValue: Any = common_pb2.AnyValue
Span: Any = trace_pb2.Span
IDS = ("traceId", "spanId", "parentSpanId")
TRACE, SPAN = "5B8EFFF798038103D269B633813FC60C", "eee19b7ec3c1b174"


def otlp_json(message: Any) -> Any:
    """OTLP/JSON of a message: protobuf's own JSON with hex ids and numbers for enums."""

    def hex_ids(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                k: base64.b64decode(v).hex() if k in IDS and isinstance(v, str) else hex_ids(v)
                for k, v in value.items()
            }
        return [hex_ids(v) for v in value] if isinstance(value, list) else value

    return hex_ids(json_format.MessageToDict(message, use_integers_for_enums=True))


def request(**span: Any) -> bytes:
    """A request of three spans; the middle one has these fields."""
    others = {"traceId": TRACE, "spanId": SPAN, "name": "good"}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [others, others | span, others]}]}]}).encode()


def middle(converted: Converted) -> trace_pb2.Span:
    """The middle span of `request`; its neighbours must be whole."""
    spans = ExportTraceServiceRequest.FromString(converted.body).resource_spans[0].scope_spans[0].spans
    for neighbour in (spans[0], spans[2]):
        assert (neighbour.name, neighbour.span_id.hex()) == ("good", SPAN)
    assert len(spans) == 3
    return spans[1]


def attribute(value: str) -> bytes:
    """A request whose one span has three attributes, the middle one with this JSON as its value."""
    attributes = (
        '{"key":"a [\\"{","value":{"intValue":1}},{"key":"k","value":VALUE},{"key":"z","value":{"boolValue":false}}'
    )
    span = '{"name":"x","attributes":[' + attributes.replace("VALUE", value) + "]}"
    return ('{"resourceSpans":[{"scopeSpans":[{"spans":[' + span + "]}]}]}").encode()


def test_captures(shared: Path) -> None:
    """Every real capture, written as OTLP/JSON, comes back as the same message."""
    files = sorted((shared / "corpora").glob("*/*.pb"))
    assert files
    for file in files:
        [signal] = [s for s in KINDS if f".{s}." in file.name]
        message = KINDS[signal].FromString(file.read_bytes())
        converted = to_protobuf(signal, json.dumps(otlp_json(message)).encode())
        assert KINDS[signal].FromString(converted.body) == message, file
        assert not converted.dropped


values = st.recursive(
    st.one_of(
        st.builds(AnyValue, string_value=st.text()),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=st.integers(-(1 << 63), (1 << 63) - 1)),
        st.builds(AnyValue, double_value=st.floats(allow_nan=False)),
        st.builds(AnyValue, bytes_value=st.binary()),
        st.just(AnyValue()),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda v: AnyValue(array_value={"values": v})),
        st.lists(st.tuples(st.text(), inner), max_size=3).map(
            lambda kvs: AnyValue(kvlist_value={"values": [{"key": k, "value": v} for k, v in kvs]})
        ),
    ),
    max_leaves=8,
)
spans = st.builds(
    lambda trace_id, span_id, name, kind, start, flags, attributes, code: Span(
        trace_id=trace_id,
        span_id=span_id,
        name=name,
        kind=kind,
        start_time_unix_nano=start,
        flags=flags,
        attributes=[{"key": k, "value": v} for k, v in attributes],
        events=[{"time_unix_nano": start, "name": name}],
        links=[{"trace_id": trace_id, "span_id": span_id}],
        status={"code": code},
    ),
    st.binary(max_size=20),
    st.binary(max_size=9),
    st.text(),
    st.integers(0, 5),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 32) - 1),
    st.lists(st.tuples(st.text(), values), max_size=4),
    st.integers(0, 2),
)


@given(st.lists(spans, max_size=3), st.booleans())
def test_round_trip(items: list[Any], ascii_only: bool) -> None:
    """Any request means the same in JSON as in protobuf."""
    message = KINDS["traces"](resource_spans=[{"scope_spans": [{"spans": items}]}])
    text = json.dumps(otlp_json(message), ensure_ascii=ascii_only)
    converted = to_protobuf("traces", text.encode())
    assert ExportTraceServiceRequest.FromString(converted.body) == message
    assert not converted.dropped


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "resourceSpans",
                        "scopeSpans",
                        "spans",
                        "name",
                        "traceId",
                        "attributes",
                        "key",
                        "value",
                        "intValue",
                        "arrayValue",
                        "values",
                        "kind",
                        "startTimeUnixNano",
                        "status",
                        "bytesValue",
                        "doubleValue",
                        "x",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=30,
    )
)
def test_anything(document: Any) -> None:
    """Whatever JSON comes, the result is a message or a refusal, never an error."""
    try:
        converted = to_protobuf("traces", json.dumps(document).encode())
    except Refused:
        return
    wire.check("traces", converted.body)


@given(st.binary())
def test_random_bytes(body: bytes) -> None:
    """Bytes that are no JSON are refused."""
    with suppress(Refused):
        parse(body)


@pytest.mark.parametrize(
    "value", ["1544712660000000000", 1544712660000000000, 1544712660000000000.0], ids=["text", "int", "float"]
)
def test_64_bit_numbers(value: Any) -> None:
    """A 64-bit number may be text or a number."""
    assert middle(to_protobuf("traces", request(startTimeUnixNano=value))).start_time_unix_nano == 1544712660000000000


def test_ids_in_any_case() -> None:
    """Hex ids are read in either case."""
    span = middle(to_protobuf("traces", request(traceId=TRACE.lower(), parentSpanId=SPAN.upper())))
    assert (span.trace_id.hex().upper(), span.parent_span_id.hex()) == (TRACE, SPAN)


@pytest.mark.parametrize(
    "bad", ["zz" + TRACE[2:], TRACE[1:], "no hex, sixteen", 5, [], TRACE + " ", "\u00e9" * 16], ids=range(7)
)
def test_bad_ids_never_have_a_valid_length(bad: Any) -> None:
    """An id that is not hex becomes one that is rejected for its span alone, and never passes for a missing parent."""
    span = middle(to_protobuf("traces", request(traceId=bad, spanId=bad, parentSpanId=bad)))
    assert len(span.trace_id) == len(span.span_id) == len(span.parent_span_id) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("startTimeUnixNano", "soon"),
        ("startTimeUnixNano", -1),
        ("startTimeUnixNano", 1 << 64),
        ("startTimeUnixNano", 1.5),
        ("startTimeUnixNano", True),
        ("name", 5),
        ("kind", "SPAN_KIND_NONSENSE"),
        ("attributes", "text"),
        ("attributes", [5]),
        ("events", [[]]),
        ("status", []),
        ("droppedAttributesCount", {}),
    ],
)
def test_wrong_types_cost_themselves(field: str, value: Any) -> None:
    """A value of a wrong type is left out and counted by its field; the span and its neighbours stay."""
    converted = to_protobuf("traces", request(**{field: value}))
    span = middle(converted)
    assert converted.dropped == {field: 1}
    assert span.span_id.hex() == SPAN


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('{"doubleValue":"NaN"}', math.nan),
        ('{"doubleValue":"-Infinity"}', -math.inf),
        ('{"doubleValue":NaN}', math.nan),
        ('{"doubleValue":1e400}', math.inf),
        ('{"doubleValue":"1.5"}', 1.5),
        ('{"intValue":"-9223372036854775808"}', -(1 << 63)),
        ('{"bytesValue":"_-8="}', b"\xff\xef"),
        ('{"bytesValue":"/+8"}', b"\xff\xef"),
        ('{"boolValue":true}', True),
        ('{"stringValue":""}', ""),
    ],
)
def test_scalars(value: str, expected: Any) -> None:
    """Scalars as protobuf's JSON mapping writes them, and as careless senders do."""
    body = to_protobuf("traces", attribute(value)).body
    got = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans[0].attributes[1].value
    found = getattr(got, str(got.WhichOneof("value")))
    assert found == expected or (math.isnan(expected) and math.isnan(found))


def test_unknown_fields_and_nulls() -> None:
    """Unknown keys, snake_case ones among them, and nulls are as if absent; enum names are read."""
    span = middle(
        to_protobuf("traces", request(newField={"a": [1]}, trace_state="x", events=None, kind="SPAN_KIND_CLIENT"))
    )
    assert (span.trace_state, len(span.events), span.kind) == ("", 0, 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"<\xff\xfe\xc3(>", b"<\xff\xfe\xc3(>"),
        (b"<\\ud800>", b"<\xed\xa0\x80>"),
        (b"<\xff\\u00e9>", b"<\xff\xc3\xa9>"),
    ],
    ids=["bytes", "surrogate", "both"],
)
def test_invalid_text_is_left_to_the_protobuf_path(text: bytes, expected: bytes) -> None:
    """Bytes that are no UTF-8 pass as they are, and a lone surrogate as invalid UTF-8, to be repaired in one place."""
    body = attribute('{"stringValue":"TEXT"}').replace(b"TEXT", text)
    message = wire.MESSAGES["TracesRequest"].FromString(to_protobuf("traces", body).body)
    assert message.resource_spans[0].scope_spans[0].spans[0].attributes[1].value.string_value == expected


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_VALUES + 5, 200, 400, 10_000])
@pytest.mark.parametrize("form", ["array", "kvlist"])
def test_deep_values(depth: int, form: str) -> None:
    """However deep a value is, its neighbours stay, and the protobuf path still sees that it was too deep."""
    before, after = {
        "array": ('{"arrayValue":{"values":[', "]}}"),
        "kvlist": ('{"kvlistValue":{"values":[{"key":"k","value":', "}]}}"),
    }[form]
    body = attribute(before * depth + '{"stringValue":"x"}' + after * depth)
    message = wire.MESSAGES["TracesRequest"].FromString(to_protobuf("traces", body).body)
    attributes = message.resource_spans[0].scope_spans[0].spans[0].attributes
    assert [a.key for a in attributes] == [b'a ["{', b"k", b"z"]
    found, value = 0, attributes[1].value
    while inner := value.array_value or value.kvlist_value:
        found += 1
        kind = "ArrayValue" if value.array_value else "KeyValueList"
        items = wire.MESSAGES[kind].FromString(inner).values
        if not items:
            break
        value = items[0] if kind == "ArrayValue" else items[0].value
    assert found == depth if depth <= MAX_DEPTH else found > MAX_DEPTH


@given(
    st.recursive(
        st.sampled_from(['"]"', '"{\\""', '"\\\\"', "1", "null", '"\\\\\\"["']),
        lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda v: "[" + ",".join(v) + "]"),
        max_leaves=12,
    )
)
def test_cut_only_below_the_limit(text: str) -> None:
    """The cut follows brackets outside strings alone: what nests less is byte for byte the same."""
    assert without_deep_values(text.encode()) == text.encode()
    wrapped = "[" * MAX_BRACKETS + text + ',"tail"' + "]" * MAX_BRACKETS
    cut = json.loads(without_deep_values(wrapped.encode()))
    for _ in range(MAX_BRACKETS - 1):
        [cut] = cut
    inner = json.loads(text)
    assert cut == [None if isinstance(inner, list) else inner, "tail"]


@pytest.mark.parametrize(
    "body", [b"[]", b"5", b"null", b"{", b'{"a":1}}', b"\xff\xff", b'{"resourceSpans":{"a":1}}', b""]
)
def test_refused(body: bytes) -> None:
    """What is not a JSON object with a list of resources is refused with a reason."""
    with pytest.raises(Refused) as e:
        to_protobuf("traces", body)
    assert e.value.reason


def test_reasons_never_quote_the_body() -> None:
    """The reason of a refusal gives the place, not the content."""
    with pytest.raises(Refused) as e:
        parse(b'{"prompt": "my secret text" oops}')
    assert "secret" not in e.value.reason
    assert "line 1 column" in e.value.reason


def test_too_many_digits() -> None:
    """A number of ten thousand digits is refused, not an error."""
    with pytest.raises(Refused):
        encode("traces", parse(b'{"resourceSpans":[],"x":NaN,"y":' + b"9" * 10_000 + b"}"))
