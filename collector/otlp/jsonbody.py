"""OTLP/JSON to the protobuf bytes of the same request, tolerant per value.

OTLP's JSON differs from protobuf's own: ids are hex, unknown fields are ignored, and one bad value must not cost
its neighbours. What the protobuf path repairs, counts or rejects (deep values, invalid UTF-8, ids of a wrong
length) is passed on as such, so that it happens in one place.
"""

import json
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import orjson

from collector.errors import Refused
from collector.otlp.answers import Signal
from collector.otlp.jsonfields import REQUESTS, message

# Brackets around a value that is still read. The protobuf path drops AnyValues nested deeper than 32 (each costs
# up to four brackets); what lies deeper than this goes without anybody missing it.
MAX_BRACKETS = 300
_CHUNK_BYTES = 4 << 20


class Converted(NamedTuple):
    """The request in protobuf. `dropped`: per field name, the values of a wrong type that were left out."""

    body: bytes
    dropped: Counter[str]


def to_protobuf(signal: Signal, body: bytes) -> Converted:
    """Convert an OTLP/JSON request. Raises Refused if it is not JSON, or not an object with a list of resources."""
    return encode(signal, parse(body))


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object of a request, also with invalid UTF-8 or nested beyond any parser's limit.

    Bytes that are not UTF-8 become lone surrogates, which `encode` turns back. Raises Refused otherwise.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = without_deep_values(body).decode("utf-8", "surrogateescape")
        try:
            document = json.loads(text)
        except json.JSONDecodeError as e:
            raise Refused(f"the body is not valid JSON: {e.msg} at line {e.lineno} column {e.colno}") from None
        except ValueError:
            raise Refused("the body is not usable JSON: a number in it has too many digits") from None
    if not isinstance(document, dict):
        raise Refused(f"the body is JSON of type {type(document).__name__}, an OTLP request is an object")
    return document


def encode(signal: Signal, document: dict[str, Any]) -> Converted:
    """The protobuf bytes of a parsed OTLP/JSON request. Raises Refused if its resources are not a list."""
    name, fields = REQUESTS[signal]
    if not isinstance(document.get(name) or [], list):
        raise Refused(f"{name} in the body must be a list")
    dropped: Counter[str] = Counter()
    return Converted(message(fields, document, 0, dropped), dropped)


def without_deep_values(body: bytes) -> bytes:
    """The JSON text with every value below MAX_BRACKETS brackets replaced by null.

    Works on arrays of a bounded size: text of nothing but brackets costs no more than any other.
    """
    # Equally long, and every quote left delimits a string.
    plain = body.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    depth, quotes, kept, out = 0, np.uint8(0), 0, []
    for start in range(0, len(plain), _CHUNK_BYTES):
        chunk = np.frombuffer(plain, np.uint8, min(_CHUNK_BYTES, len(plain) - start), start)
        inside = np.cumsum(chunk == ord('"'), dtype=np.uint8) + quotes
        quotes = inside[-1]
        kind = np.where(inside & 1 == 0, chunk | 0x20, 0)  # the bit in which [ and {, ] and } differ
        at = np.flatnonzero((kind == ord("{")) | (kind == ord("}")))
        opens = kind[at] == ord("{")
        depths = depth + np.cumsum(np.where(opens, 1, -1), dtype=np.int64)
        depth = int(depths[-1]) if len(depths) else depth
        edges = (opens & (depths == MAX_BRACKETS + 1)) | (~opens & (depths == MAX_BRACKETS))
        for edge, is_open in zip((at[edges] + start).tolist(), opens[edges].tolist(), strict=True):
            if is_open:
                out += [body[kept:edge], b"null"]
            kept = edge + (0 if is_open else 1)
    return b"".join([*out, body[kept:]])
