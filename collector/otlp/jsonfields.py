"""OTLP/JSON fields as protobuf: the writers of values, and tables of keys read off the OTLP descriptors."""

import base64
import binascii
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.otlp.answers import Signal
from collector.otlp.protowire import I32, I64, LEN, VARINT, varint

# AnyValues inside one another that are still written: a few more than are kept, so that the protobuf path,
# which drops the deeper ones, sees that there were more.
MAX_VALUES = 40

_HEX_FIELDS = frozenset({"trace_id", "span_id", "parent_span_id"})
# Never a valid length: a span with such an id is rejected, such a parent is counted as bad.
_BAD_ID = b"\0"

# --- values: each writer returns what follows the field's tag, or raises one of _BAD_VALUE -------------------

_BAD_VALUE = (ValueError, TypeError, AttributeError, KeyError, OverflowError, struct.error)


def _text(value: str) -> bytes:
    try:
        data = value.encode()
    except UnicodeEncodeError:
        data = _invalid_text(value)
    return varint(len(data)) + data


def _invalid_text(value: str) -> bytes:
    """The original bytes where they were no UTF-8; an escaped lone surrogate becomes invalid UTF-8 too."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


def _id(value: Any) -> bytes:
    try:
        data = binascii.unhexlify(value)
    except (ValueError, TypeError):
        data = _BAD_ID
    return varint(len(data)) + data


def _base64(value: str) -> bytes:
    text = value.rstrip("=").replace("-", "+").replace("_", "/")
    data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    return varint(len(data)) + data


def _integer(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    return int(value)


def _signed(value: Any) -> bytes:
    n = _integer(value)
    if not -(1 << 63) <= n < 1 << 63:
        raise ValueError
    return varint(n & (1 << 64) - 1)


def _unsigned(value: Any) -> bytes:
    n = _integer(value)
    if not 0 <= n < 1 << 64:
        raise ValueError
    return varint(n)


def _zigzag(value: Any) -> bytes:
    n = _integer(value)
    if not -(1 << 31) <= n < 1 << 31:
        raise ValueError
    return varint(n << 1 ^ n >> 31)


def _boolean(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise TypeError
    return b"\1" if value else b"\0"


def _double(value: Any) -> bytes:
    if isinstance(value, bool):
        raise TypeError
    return struct.pack("<d", float(value))  # also of "NaN" and "Infinity"


def _packed(code: str) -> Callable[[Any], bytes]:
    pack = struct.Struct(code).pack
    return lambda value: pack(_integer(value))


def _enum(kind: EnumDescriptor) -> Callable[[Any], bytes]:
    numbers = {name: value.number for name, value in kind.values_by_name.items()}
    return lambda value: _signed(numbers.get(value, value))


_F = FieldDescriptor
_SCALARS: dict[int, tuple[int, Callable[[Any], bytes]]] = {  # protobuf type -> wire type, writer
    _F.TYPE_STRING: (LEN, _text),
    _F.TYPE_BYTES: (LEN, _base64),
    _F.TYPE_BOOL: (VARINT, _boolean),
    _F.TYPE_DOUBLE: (I64, _double),
    _F.TYPE_INT32: (VARINT, _signed),
    _F.TYPE_INT64: (VARINT, _signed),
    _F.TYPE_UINT32: (VARINT, _unsigned),
    _F.TYPE_UINT64: (VARINT, _unsigned),
    _F.TYPE_SINT32: (VARINT, _zigzag),
    _F.TYPE_FIXED32: (I32, _packed("<I")),
    _F.TYPE_FIXED64: (I64, _packed("<Q")),
    _F.TYPE_SFIXED64: (I64, _packed("<q")),
}


# --- messages -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Field:
    """How one JSON key is written: a scalar by `write`, a message by the table `fields`."""

    tag: bytes
    repeated: bool
    write: Callable[[Any], bytes] | None
    fields: "dict[str, Field] | None"
    is_value: bool
    is_attribute: bool


def message(fields: dict[str, Field], value: dict[str, Any], depth: int, dropped: Counter[str]) -> bytes:
    """The protobuf body of a JSON object. Unknown keys are ignored, values of a wrong type counted in `dropped`."""
    out = []
    for name, item in value.items():
        field = fields.get(name)
        if field is None or item is None:
            continue
        if field.repeated and not isinstance(item, list):
            dropped[name] += 1
            continue
        for one in item if field.repeated else (item,):
            try:
                out.append(field.tag + _payload(field, one, depth, dropped))
            except _BAD_VALUE:
                dropped[name] += 1
    return b"".join(out)


def _payload(field: Field, value: Any, depth: int, dropped: Counter[str]) -> bytes:
    if field.write:
        return field.write(value)
    assert field.fields is not None
    if field.is_attribute and (data := _text_attribute(value)):
        return data
    if field.is_value:
        depth += 1
    data = message(field.fields, value, depth, dropped) if depth <= MAX_VALUES else b""
    return varint(len(data)) + data


def _text_attribute(pair: dict[str, Any]) -> bytes:
    """The most frequent message by far, a KeyValue of text, in one step; b"" if it is anything else."""
    if len(pair) != 2 or "key" not in pair:
        return b""
    value = pair.get("value")
    if not isinstance(value, dict) or len(value) != 1 or not isinstance(value.get("stringValue"), str):
        return b""
    key, text = _text(pair["key"]), b"\x0a" + _text(value["stringValue"])
    size = varint(len(text))
    return varint(2 + len(key) + len(size) + len(text)) + b"\x0a" + key + b"\x12" + size + text


def _table(message: Descriptor, known: dict[str, dict[str, Field]]) -> dict[str, Field]:
    """JSON key to field, for a message and all that it contains."""
    if message.full_name in known:
        return known[message.full_name]
    table = known[message.full_name] = {}
    for field in message.fields:
        inner, write, wire = None, None, LEN
        if field.message_type:
            inner = _table(field.message_type, known)
        elif field.enum_type:
            wire, write = VARINT, _enum(field.enum_type)
        elif field.name in _HEX_FIELDS:
            write = _id
        else:
            wire, write = _SCALARS[field.type]
        kind = field.message_type.name if field.message_type else ""
        tag = varint(field.number << 3 | wire)
        table[field.json_name] = Field(
            tag, field.is_repeated, write, inner, is_value=kind == "AnyValue", is_attribute=kind == "KeyValue"
        )
    return table


def _request(message: Any, known: dict[str, dict[str, Field]]) -> tuple[str, dict[str, Field]]:
    return message.DESCRIPTOR.fields[0].json_name, _table(message.DESCRIPTOR, known)


_KNOWN: dict[str, dict[str, Field]] = {}
REQUESTS: dict[Signal, tuple[str, dict[str, Field]]] = {
    "traces": _request(ExportTraceServiceRequest, _KNOWN),
    "metrics": _request(ExportMetricsServiceRequest, _KNOWN),
    "logs": _request(ExportLogsServiceRequest, _KNOWN),
}
