"""Nested OTLP values (arrays, key-value lists): their depth and their JSON, without recursion limits."""

from typing import Any

from google.protobuf.message import DecodeError

from collector.otlp.wire import MESSAGES

MAX_DEPTH = 32

_ArrayValue, _KeyValueList = MESSAGES["ArrayValue"], MESSAGES["KeyValueList"]

Scalar = str | bool | int | float | None


class TooDeep(ValueError):
    """A value nests deeper than MAX_DEPTH."""


def array(data: bytes, depth: int = 1) -> list[Any]:
    """The Python list of an ArrayValue's bytes. Raises TooDeep; undecodable bytes give an empty list."""
    if depth > MAX_DEPTH:
        raise TooDeep
    try:
        return [python_value(v, depth) for v in _ArrayValue.FromString(data).values]
    except DecodeError:
        return []


def kvlist(data: bytes, depth: int = 1) -> dict[str, Any]:
    """The Python dict of a KeyValueList's bytes. Raises TooDeep; undecodable bytes give an empty dict."""
    if depth > MAX_DEPTH:
        raise TooDeep
    try:
        pairs = _KeyValueList.FromString(data).values
    except DecodeError:
        return {}
    return {text(kv.key): python_value(kv.value, depth) for kv in pairs}


def python_value(value: Any, depth: int = 0) -> Any:
    """A decoded AnyValue message as a Python value; None when unset."""
    match value.WhichOneof("value"):
        case None:
            return None
        case "string_value":
            return text(value.string_value)
        case "array_value":
            return array(value.array_value, depth + 1)
        case "kvlist_value":
            return kvlist(value.kvlist_value, depth + 1)
        case "bytes_value":
            return value.bytes_value.hex()
        case name:
            return getattr(value, name)


def text(data: bytes) -> str:
    """UTF-8 text; invalid bytes and NUL become U+FFFD."""
    return data.decode("utf-8", "replace").replace("\0", "\ufffd")
