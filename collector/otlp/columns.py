"""Decode OTLP trace requests into columns, many requests at once.

Everything here works on whole columns; Python loops only run over distinct values (resources, scopes, keys).
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import ptars
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError

from collector.otlp import anyvalue
from collector.otlp.attributes import (
    ARRAY,
    KVLIST,
    NONE,
    TYPE_FIELDS,
    Attributes,
    Bools,
    Codes,
    Ints,
    Texts,
    numbers_of,
)
from collector.otlp.wire import DESCRIPTORS, MESSAGES

Ids = npt.NDArray[np.uint64]

MAX_ATTRIBUTES = 1024

# Why a span is rejected: index = code in SpanColumns.rejected.
REJECTIONS = ("", "bad_trace_id", "zero_trace_id", "bad_span_id", "zero_span_id", "too_old")

_pool = ptars.HandlerPool([DESCRIPTORS["TracesRequest"].file])
_requests = _pool.get_for_message(DESCRIPTORS["TracesRequest"])
_events = _pool.get_for_message(DESCRIPTORS["Event"])

# Events whose attributes are read like the span's own, under "<event name>:<key>".
READ_EVENTS = frozenset(
    {
        b"exception",
        b"gen_ai.choice",
        b"gen_ai.assistant.message",
        b"gen_ai.tool.message",
        b"gen_ai.user.message",
        b"gen_ai.content.prompt",
        b"gen_ai.content.completion",
        b"gen_ai.client.inference.operation.details",
        b"gen_ai.request.attempt",
    }
)


@dataclass(frozen=True)
class SpanColumns:
    """Spans of several requests as columns, n rows, in the order sent.

    rejected: code into REJECTIONS, 0 for valid spans; a rejected span keeps its row until the table is cut.
    parent_id: 0 for none. start_ns, duration_ns: clamped to what int64 holds, never negative durations.
    repairs: (request, what) -> count of values that were repaired or dropped.
    """

    requests: int
    request: Codes
    trace_hi: Ids
    trace_lo: Ids
    span_id: Ids
    parent_id: Ids
    rejected: npt.NDArray[np.uint8]
    start_ns: Ints
    duration_ns: Ints
    backwards: Bools
    remote_parent: Bools
    attributes_dropped: Bools
    name: Texts
    span_kind: npt.NDArray[np.int32]
    status_code: npt.NDArray[np.int32]
    status_message: Texts
    resource: Codes
    resources: list[bytes]
    scope: Codes
    scopes: list[bytes]
    attributes: Attributes
    repairs: Counter[tuple[int, str]] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.request)


def decode(bodies: list[bytes]) -> SpanColumns:
    """Decode checked ExportTraceServiceRequest bodies together. Raises ValueError if ptars cannot read them."""
    return _columns(_requests.list_to_record_batch(bodies), len(bodies))


def _columns(batch: pa.RecordBatch, requests: int) -> SpanColumns:
    per_request = batch.column(0)
    resource_spans = per_request.flatten()
    scope_spans_list = resource_spans.field("scope_spans")
    scope_spans = scope_spans_list.flatten()
    span_list = scope_spans.field("spans")
    spans = span_list.flatten()

    scope_row = np.repeat(np.arange(len(scope_spans), dtype=np.int32), _lengths(span_list))
    resource_row = np.repeat(np.arange(len(resource_spans), dtype=np.int32), _lengths(scope_spans_list))[scope_row]
    request = np.repeat(np.arange(requests, dtype=np.int32), _lengths(per_request))[resource_row]
    resources = resource_spans.field("resource").fill_null(b"").dictionary_encode()
    scopes = scope_spans.field("scope").fill_null(b"").dictionary_encode()

    repairs: Counter[tuple[int, str]] = Counter()
    trace, trace_ok, trace_zero = _fixed(spans.field("trace_id"), 2)
    span, span_ok, span_zero = _fixed(spans.field("span_id"), 1)
    parent, parent_ok, parent_zero = _fixed(spans.field("parent_span_id"), 1)
    rejected = np.select([~trace_ok, trace_zero, ~span_ok, span_zero], [1, 2, 3, 4], 0).astype(np.uint8)
    bad_parent = ~parent_ok & (_lengths(spans.field("parent_span_id")) > 0)
    _count(repairs, request, bad_parent, "parent_span_id:bad_length")

    start = spans.field("start_time_unix_nano").to_numpy()
    end = spans.field("end_time_unix_nano").to_numpy()
    top = np.uint64(2**63 - 1)
    start_ns, end_ns = np.minimum(start, top).astype(np.int64), np.minimum(end, top).astype(np.int64)
    backwards = end_ns < start_ns
    flags = spans.field("flags").to_numpy()
    status = spans.field("status")
    return SpanColumns(
        requests=requests,
        request=request,
        trace_hi=trace[:, 0],
        trace_lo=trace[:, 1],
        span_id=span[:, 0],
        parent_id=np.where(parent_ok & ~parent_zero, parent[:, 0], np.uint64(0)),
        rejected=rejected,
        start_ns=start_ns,
        duration_ns=np.where(backwards, 0, end_ns - start_ns),
        backwards=backwards,
        remote_parent=(flags & 0x300) == 0x300,
        attributes_dropped=spans.field("dropped_attributes_count").to_numpy() > 0,
        name=_texts(spans.field("name"), "name", request, repairs),
        span_kind=spans.field("kind").to_numpy(),
        status_code=numbers_of(status.field("code"), np.int32),
        status_message=_texts(status.field("message"), "status.message", request, repairs),
        resource=resources.indices.to_numpy()[resource_row],
        resources=resources.dictionary.to_pylist(),
        scope=scopes.indices.to_numpy()[scope_row],
        scopes=scopes.dictionary.to_pylist(),
        attributes=_attributes(spans, request, repairs),
        repairs=repairs,
    )


def _attributes(spans: pa.StructArray, request: Codes, repairs: Counter[tuple[int, str]]) -> Attributes:
    lists = spans.field("attributes")
    lengths = _lengths(lists)
    rows = lists.flatten()
    owner = np.repeat(np.arange(len(spans), dtype=np.int32), lengths)
    if len(lengths) and lengths.max() > MAX_ATTRIBUTES:
        position = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        extra = position >= MAX_ATTRIBUTES
        _count(repairs, request[owner], extra, f"attributes:more_than_{MAX_ATTRIBUTES}")
        rows, owner = rows.filter(pa.array(~extra)), owner[~extra]
    keys, values = rows.field("key"), rows.field("value")
    event_owner, event_keys, event_values = _event_attributes(spans)
    if event_owner is not None:
        owner = np.concatenate([owner, event_owner])
        keys, values = pa.concat_arrays([keys, event_keys]), pa.concat_arrays([values, event_values])
    encoded = keys.dictionary_encode()
    types = np.zeros(len(owner), np.uint8)
    for kind, name in TYPE_FIELDS:
        column = values.field(name)
        if column.null_count < len(column):
            types[column.is_valid().to_numpy(zero_copy_only=False)] = kind
    result = Attributes(
        owner, encoded.indices.to_numpy(), [anyvalue.text(k) for k in encoded.dictionary.to_pylist()], types, values
    )
    _note_damage(result, request, repairs)
    own = len(rows)  # events may repeat a key, a span must not
    if repeated := _repeated(owner[:own], result.key[:own], len(result.keys)):
        repairs[(int(request[0]), "attribute:repeated_key")] += repeated
    return result


def _repeated(owner: Codes, key: Codes, width: int) -> int:
    """How many attributes repeat a key of their span."""
    if not len(owner):
        return 0
    if width > 256:
        return len(owner) - len(np.unique(owner.astype(np.int64) * width + key))
    seen = np.zeros((width, int(owner.max()) + 1), np.bool_)
    seen[key, owner] = True
    return len(owner) - int(np.count_nonzero(seen))


def _event_attributes(spans: pa.StructArray) -> tuple[Codes | None, pa.Array | None, pa.Array | None]:
    """Attributes of the events worth reading, keyed '<event>:<key>', with the span that owns each."""
    lists = spans.field("events")
    lengths = _lengths(lists)
    if not lengths.any():
        return None, None, None
    owner = np.repeat(np.arange(len(spans), dtype=np.int32), lengths)
    payloads = lists.flatten().to_pylist()
    try:
        events = pa.StructArray.from_arrays(*_struct_parts(_events.list_to_record_batch(payloads)))
    except ValueError:  # one damaged event must not cost its neighbours
        good = [i for i, p in enumerate(payloads) if _is_event(p)]
        owner = owner[good]
        events = pa.StructArray.from_arrays(*_struct_parts(_events.list_to_record_batch([payloads[i] for i in good])))
    names = events.field("name").dictionary_encode()
    wanted = np.array([n in READ_EVENTS for n in names.dictionary.to_pylist()], np.bool_)
    keep = wanted[names.indices.to_numpy()] if len(wanted) else np.zeros(0, np.bool_)
    if not keep.any():
        return None, None, None
    events, owner = events.filter(pa.array(keep)), owner[keep]
    attributes = events.field("attributes")
    counts = _lengths(attributes)
    flat = attributes.flatten()
    prefix = events.field("name").take(pa.array(np.repeat(np.arange(len(events)), counts)))
    keys = pc.binary_join_element_wise(prefix, flat.field("key"), b":")
    return np.repeat(owner, counts).astype(np.int32), keys, flat.field("value")


def _is_event(payload: bytes) -> bool:
    try:
        MESSAGES["Event"].FromString(payload)
    except DecodeError:
        return False
    return True


def _struct_parts(batch: pa.RecordBatch) -> tuple[list[pa.Array], list[str]]:
    return batch.columns, batch.schema.names


def _note_damage(attributes: Attributes, request: Codes, repairs: Counter[tuple[int, str]]) -> None:
    """Count values with invalid UTF-8 and values too deep."""
    strings = attributes.values.field("string_value")
    if bad := _invalid_rows(strings):
        for row in bad:
            repairs[(int(request[attributes.owner[row]]), f"attribute {_safe_key(attributes, row)}:invalid_utf8")] += 1
    for row in np.flatnonzero(attributes.type >= ARRAY).tolist():
        if _too_deep(attributes, row):
            attributes.type[row] = NONE
            repairs[(int(request[attributes.owner[row]]), f"attribute {_safe_key(attributes, row)}:too_deep")] += 1


def _safe_key(attributes: Attributes, row: int) -> str:
    return str(attributes.keys[attributes.key[row]][:60])


def _too_deep(attributes: Attributes, row: int) -> bool:
    kind = attributes.type[row]
    try:
        if kind == ARRAY:
            anyvalue.array(attributes.values.field("array_value")[row].as_py())
        elif kind == KVLIST:
            anyvalue.kvlist(attributes.values.field("kvlist_value")[row].as_py())
    except anyvalue.TooDeep:
        return True
    return False


def _texts(column: pa.BinaryArray, what: str, request: Codes, repairs: Counter[tuple[int, str]]) -> Texts:
    encoded = column.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy()
    raw = encoded.dictionary.to_pylist()
    if bad := _invalid_rows(encoded.dictionary):
        _count(repairs, request, np.isin(codes, bad), f"{what}:invalid_utf8")
    return Texts(codes, [anyvalue.text(v) for v in raw])


def _invalid_rows(column: pa.BinaryArray) -> list[int]:
    """Rows whose bytes are not UTF-8; the usual case, none, costs one vectorised check."""
    try:
        column.cast(pa.string())
        return []
    except pa.ArrowInvalid:
        return [i for i, v in enumerate(column.to_pylist()) if v is not None and not _is_utf8(v)]


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _count(repairs: Counter[tuple[int, str]], request: Codes, mask: Bools, what: str) -> None:
    if mask.any():
        numbers, counts = np.unique(request[mask], return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            repairs[(number, what)] += count


def _lengths(column: pa.Array) -> Ints:
    """Length of each list or binary value; 0 for null."""
    measure = pc.binary_length if pa.types.is_binary(column.type) else pc.list_value_length
    lengths: Ints = measure(column).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return lengths


def _fixed(column: pa.BinaryArray, words: int) -> tuple[Ids, Bools, Bools]:
    """Big-endian ids of `words` 64-bit words each: (n x words array, right length, all zero)."""
    n, size = len(column), 8 * words
    lengths = _lengths(column)
    ok = lengths == size
    out = np.zeros((n, words), np.uint64)
    if n and ok.any():
        good = column if ok.all() else column.filter(pa.array(ok))
        data = np.frombuffer(b"".join(good.to_pylist()) if good.offset else _payload(good), ">u8")
        out[ok] = data.reshape(-1, words)
    return out, ok, ok & ~out.any(axis=1)


def _payload(column: pa.BinaryArray) -> memoryview:
    offsets = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1)
    return memoryview(column.buffers()[2])[int(offsets[0]) : int(offsets[-1])]
