"""Decoding into columns, held against the plain protobuf classes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.errors import Refused
from collector.otlp.columns import READ_EVENTS, REJECTIONS, SpanColumns, decode
from collector.otlp.wire import check

CORPORA = Path(__file__).parents[2].parent / "shared" / "corpora"


def spans_of(request: ExportTraceServiceRequest) -> Iterator[Span]:
    """Every span of a request, in order."""
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            yield from scope.spans


def scalars(attributes: list[KeyValue]) -> dict[str, object]:
    """String and integer attributes; the last of a repeated key wins."""
    out: dict[str, object] = {}
    for a in attributes:
        kind = a.value.WhichOneof("value")
        out.pop(a.key, None)
        if kind in ("string_value", "int_value"):
            out[a.key] = getattr(a.value, kind)
    return out


def own_scalars(columns: SpanColumns, row: int) -> dict[str, object]:
    """What the columns say of a span's string and integer attributes, events aside."""
    a = columns.attributes
    out: dict[str, object] = {}
    for at in np.flatnonzero(a.owner == row).astype(np.int32):
        key, kind = a.keys[a.key[at]], a.type[at]
        out.pop(key, None)
        if key.split(":")[0].encode() in READ_EVENTS:
            continue
        if kind == 1:
            texts = a.texts(np.array([at], np.int32))
            out[key] = texts.values[texts.codes[0]]
        elif kind == 3:
            out[key] = int(a.ints(np.array([at], np.int32))[0][0])
    return out


def test_captures_read_like_protobuf() -> None:
    """Every capture decodes to the ids, times, names and scalar attributes that the protobuf classes read."""
    files = sorted(CORPORA.glob("*/simple.traces*.pb"))
    assert files
    for path in files:
        body = path.read_bytes()
        assert check("traces", body)
        expected = list(spans_of(ExportTraceServiceRequest.FromString(body)))
        columns = decode([body])
        assert len(columns) == len(expected)
        for i, span in enumerate(expected):
            assert f"{columns.trace_hi[i]:016x}{columns.trace_lo[i]:016x}" == span.trace_id.hex()
            assert f"{columns.span_id[i]:016x}" == span.span_id.hex()
            assert columns.start_ns[i] == span.start_time_unix_nano
            assert columns.duration_ns[i] == span.end_time_unix_nano - span.start_time_unix_nano
            assert columns.name.values[columns.name.codes[i]] == span.name
            assert columns.status_code[i] == span.status.code
            assert own_scalars(columns, i) == scalars(list(span.attributes)), path


def request(*spans: Span) -> bytes:
    """A request of one resource and scope."""
    message = ExportTraceServiceRequest()
    message.resource_spans.add().scope_spans.add().spans.extend(spans)
    return message.SerializeToString()


def valid(number: int = 1, **fields: object) -> Span:
    """A valid span."""
    return Span(trace_id=b"t" * 16, span_id=number.to_bytes(8, "big"), name="n", **fields)  # type: ignore[arg-type]


def test_requests_are_told_apart() -> None:
    """Spans of requests decoded together keep the number of their request."""
    columns = decode([request(valid(1), valid(2)), request(), request(valid(3))])
    assert columns.request.tolist() == [0, 0, 2]
    assert columns.span_id.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("span", "why"),
    [
        (Span(trace_id=b"abc", span_id=b"s" * 8), "bad_trace_id"),
        (Span(trace_id=bytes(16), span_id=b"s" * 8), "zero_trace_id"),
        (Span(trace_id=b"t" * 64, span_id=b"s" * 8), "bad_trace_id"),
        (Span(trace_id=b"t" * 16, span_id=b"s"), "bad_span_id"),
        (Span(trace_id=b"t" * 16, span_id=bytes(8)), "zero_span_id"),
    ],
    ids=["short trace", "zero trace", "long trace", "short span", "zero span"],
)
def test_bad_ids_cost_their_span_only(span: Span, why: str) -> None:
    """A span with an unusable id is rejected with its reason; its neighbours are not."""
    columns = decode([request(valid(1), span, valid(2))])
    assert [REJECTIONS[r] for r in columns.rejected] == ["", why, ""]


def test_odd_parents_and_times_are_tamed() -> None:
    """A parent of the wrong length is dropped and counted; absurd times are clamped, never negative."""
    columns = decode(
        [
            request(
                valid(1, parent_span_id=b"xyz", start_time_unix_nano=2**64 - 10, end_time_unix_nano=2**64 - 1),
                valid(2, start_time_unix_nano=10, end_time_unix_nano=5),
            )
        ]
    )
    assert columns.parent_id.tolist() == [0, 0]
    assert columns.repairs[(0, "parent_span_id:bad_length")] == 1
    assert columns.start_ns.tolist() == [2**63 - 1, 10]
    assert columns.duration_ns.tolist() == [0, 0]
    assert columns.backwards.tolist() == [False, True]


def test_deep_wide_and_broken_values_cost_themselves_only() -> None:
    """A value nested 10,000 deep, more than 1,024 attributes and invalid UTF-8 are dropped or repaired, and counted."""
    deep = b"\x0a\x01x"
    for _ in range(10_000):
        deep = _field(5, _field(1, deep))
    attributes = _field(9, _field(1, b"k") + _field(2, deep)) + _field(9, _field(1, b"ok") + _field(2, _field(1, b"v")))
    bad_utf8 = _field(9, _field(1, b"k") + _field(2, _field(1, b"\xff\xfe")))
    wide = b"".join(_field(9, _field(1, b"k%d" % i) + _field(2, _field(1, b"v"))) for i in range(2000))
    body = b"".join(_field(2, valid(i + 1).SerializeToString() + a) for i, a in enumerate((attributes, bad_utf8, wide)))
    columns = decode([_field(1, _field(2, body))])
    assert len(columns) == 3
    assert columns.repairs == {
        (0, "attribute k:too_deep"): 1,
        (0, "attribute k:invalid_utf8"): 1,
        (0, "attributes:more_than_1024"): 2000 - 1024,
    }
    assert own_scalars(columns, 0) == {"ok": "v"}
    assert own_scalars(columns, 1) == {"k": "\ufffd\ufffd"}


def test_numbers_in_any_dress() -> None:
    """Integers, doubles, booleans and numbers in text read as numbers; anything else does not."""
    values = [
        AnyValue(int_value=7),
        AnyValue(double_value=7.4),
        AnyValue(string_value="7"),
        AnyValue(string_value="seven"),
        AnyValue(double_value=float("nan")),
        AnyValue(bool_value=True),
        AnyValue(),
    ]
    spans = [valid(i + 1, attributes=[KeyValue(key="k", value=v)]) for i, v in enumerate(values)]
    columns = decode([request(*spans)])
    rows = np.arange(len(values), dtype=np.int32)
    numbers, known = columns.attributes.ints(rows)
    assert list(zip(numbers.tolist(), known.tolist(), strict=True)) == [
        (7, True),
        (7, True),
        (7, True),
        (0, False),
        (0, False),
        (1, True),
        (0, False),
    ]
    assert columns.attributes.texts(rows).codes[-1] == -1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_decoded(body: bytes) -> None:
    """Random bytes either fail the check with a reason or decode; nothing else happens."""
    try:
        check("traces", body)
    except Refused as e:
        assert "not a valid ExportTraceServiceRequest" in e.reason
        return
    decode([body])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_one_changed_byte_is_refused_or_decoded(at: int, value: int) -> None:
    """A request with one byte changed is refused or decoded, and never raises anything else."""
    body = bytearray(
        request(*(valid(i + 1, attributes=[KeyValue(key="k", value=AnyValue(string_value="v"))]) for i in range(20)))
    )
    body[at % len(body)] = value
    try:
        check("traces", bytes(body))
    except Refused:
        return
    decode([bytes(body)])


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field."""
    size, out = len(data), bytes([number << 3 | 2])
    while size > 127:
        out, size = out + bytes([size & 127 | 128]), size >> 7
    return out + bytes([size]) + data
