"""The choke point: content becomes keyed hashes, shapes and sizes; every other value is allow-listed or gone.

Everything that reaches the disk passes through `protect`. Hashing runs over the distinct values of a batch.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from collector import scrub
from collector.dialects.engine import TABLES
from collector.dialects.message_parts import ToolParts, failure, unwrapped
from collector.dialects.normalised import Normalised
from collector.dialects.tables import Reasons
from collector.otlp.attributes import STRING, Attributes, Codes
from collector.semconv import Flag

# Arguments that page through a result: a step in one of them is progress, not a repetition.
PAGING_ARGUMENTS = frozenset(
    (
        "page", "page_number", "page_token", "pagetoken", "next_page_token", "offset", "cursor", "next_cursor", "after",
        "start", "start_index", "skip", "from", "next_token", "continuation_token", "marker",
    )
)  # fmt: skip

# A word with a digit in it: numbers, dates, ids, hex digests.
_VARIABLE = r"[A-Za-z0-9_.:+-]*[0-9][A-Za-z0-9_.:+-]*"


_EMITTED = (
    ("args_hash", Flag.ARGS_FROM_EMITTER),
    ("args_shape", Flag(0)),
    ("result_hash", Flag.RESULT_FROM_EMITTER),
    ("subject_hash", Flag(0)),
)


class Hasher:
    """Keyed BLAKE2b of 64 bits; the key never leaves DIR. `purpose` keeps hashes of different meaning apart."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._base = {
            purpose: hashlib.blake2b(key=key, digest_size=8, person=purpose.encode())
            for purpose in ("content", "shape", "emitted", "response", "call", "cursor", "series")
        }
        offset = hashlib.blake2b(b"paging", key=key, digest_size=8).digest()
        self.paging_offset = (int.from_bytes(offset, "little") >> 3) + (1 << 60)

    def one(self, purpose: str, value: bytes) -> int:
        """The 64-bit hash of one value."""
        h = self._base[purpose].copy()
        h.update(value)
        return int.from_bytes(h.digest(), "little") or 1

    def many(self, purpose: str, values: list[bytes]) -> npt.NDArray[np.uint64]:
        """The hashes of distinct values."""
        base, parts = self._base[purpose], []
        for value in values:
            h = base.copy()
            h.update(value)
            parts.append(h.digest())
        hashes = np.frombuffer(b"".join(parts), "<u8").astype(np.uint64)
        return np.maximum(hashes, 1)  # 0 means "no hash" in the store


@dataclass(frozen=True)
class Protected:
    """What may be stored of a batch beside its facets and numbers: columns of `spans`, flags to add, the rows of
    `message_tool_calls` (with `row`, the span they belong to), and how often each scrubbing rule hit."""

    columns: dict[str, pa.Array]
    flags: npt.NDArray[np.int64]
    tool_parts: pa.Table
    scrubbed: Counter[str]


def protect(batch: Normalised, parts: ToolParts, hasher: Hasher, reasons: Reasons = TABLES.reasons) -> Protected:
    """Hash, measure and drop content; scrub what remains. `reasons`: the words of errors that tell a reason."""
    attributes = batch.spans.attributes
    n = len(batch.spans)
    scrubbed: Counter[str] = Counter()
    columns: dict[str, npt.NDArray[Any]] = {}
    flags = np.zeros(n, np.int64)

    args = _content(attributes, batch.content["args"], n)
    args = _Column(args.codes, [unwrapped(v) for v in args.values])
    shapes, paging = _shapes(args.values, hasher)
    columns["args_hash"] = args.spread(hasher.many("content", args.values), 0)
    columns["args_shape"] = args.spread(shapes, 0)
    columns["paging"] = args.spread(paging, -1)
    result = _content(attributes, batch.content["result"], n)
    columns["result_hash"] = result.spread(hasher.many("content", [unwrapped(v) for v in result.values]), 0)
    subject = _content(attributes, batch.content["subject"], n)
    columns["subject_hash"] = subject.spread(hasher.many("content", subject.values), 0)

    # A hash that the emitter computed, or a size that it states, serves only where the content itself did not come.
    for column, flag in _EMITTED:
        emitted = _content(attributes, batch.ids[column], n)
        if len(emitted.values):
            used = (columns[column] == 0) & (emitted.codes >= 0)
            flags[used] |= int(flag)
            columns[column] = np.where(used, emitted.spread(hasher.many("emitted", emitted.values), 0), columns[column])
    for column, content in (("args_bytes", args), ("result_bytes", result)):
        values, known = batch.numbers[column]
        stated = np.where(known, values, -1).clip(-1, 2**31 - 1).astype(np.int32)
        measured = content.spread(np.array([len(v) for v in content.values], np.int32), -1)
        columns[column] = np.where(measured >= 0, measured, stated)
    for column, source, purpose in (("response_hash", "response_id", "response"), ("call_hash", "call_id", "call")):
        ids = _content(attributes, batch.ids[source], n)
        columns[column] = ids.spread(hasher.many(purpose, ids.values), 0)
        if inner := batch.inner_ids.get(source):
            hashes = hasher.many(purpose, [v.encode() for v in inner.values])
            inside = _Column(inner.codes, []).spread(hashes, 0)
            columns[column] = np.where(columns[column] == 0, inside, columns[column])
    arrays = {name: pa.array(column) for name, column in columns.items()}
    arrays["attributes"] = _attributes_json(batch, scrubbed)
    return Protected(arrays, flags, _tool_parts(parts, hasher, scrubbed, reasons), scrubbed)


@dataclass(frozen=True)
class _Column:
    """One value a span at most: `codes[i]` indexes the distinct `values`, -1 is none."""

    codes: Codes
    values: list[bytes]

    def spread(self, per_value: npt.NDArray[Any], missing: int) -> npt.NDArray[Any]:
        """Per-value results as a column of the batch."""
        return np.append(per_value, per_value.dtype.type(missing))[self.codes]


def _content(attributes: Attributes, rows: Codes, n: int) -> _Column:
    present = np.flatnonzero(rows >= 0)
    codes = np.full(n, -1, np.int32)
    if not len(present):
        return _Column(codes, [])
    at = rows[present]
    if bool(np.all(attributes.type[at] == STRING)):
        encoded = attributes.raw(at).dictionary_encode()
        codes[present] = encoded.indices.to_numpy()
        return _Column(codes, encoded.dictionary.to_pylist())
    texts = attributes.texts(rows)
    return _Column(texts.codes, [v.encode() for v in texts.values])


def _shapes(values: list[bytes], hasher: Hasher) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Hash of each value with key order, white space, numbers, ids and dates normalised; and its paging position."""
    canonical, paging = [], []
    for value in values:
        text, position = _canonical(value, hasher)
        canonical.append(text)
        paging.append(position)
    if canonical:
        shaped = pc.replace_substring_regex(pa.array(canonical, pa.binary()), _VARIABLE, "#").to_pylist()
    else:
        shaped = []
    return hasher.many("shape", shaped), np.array([-1 if p is None else p for p in paging], np.int64)


def _canonical(value: bytes, hasher: Hasher) -> tuple[bytes, int | None]:
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError:
        return b" ".join(value.split()), None
    if not isinstance(parsed, (dict, list)):
        return b" ".join(value.split()), None
    position = None
    if isinstance(parsed, dict):
        for key, argument in parsed.items():
            if key.lower() in PAGING_ARGUMENTS:
                position = _position(argument, hasher)
    return orjson.dumps(parsed, option=orjson.OPT_SORT_KEYS), position


def _position(argument: object, hasher: Hasher) -> int | None:
    """A number plus the store's secret offset (so that only differences mean anything), or the hash of a cursor."""
    match argument:
        case bool() | None:
            return None
        case int() if abs(argument) < 2**53:
            return hasher.paging_offset + argument
        case str() if argument.isascii() and argument.lstrip("-").isdigit() and len(argument) < 16:
            return hasher.paging_offset + int(argument)
        case str() if argument:
            return hasher.one("cursor", argument.encode("utf-8", "replace")) >> 2
        case _:
            return None


# Made once: pyarrow looks for modules whenever it has to tell the type of a Python text, half a millisecond a batch.
_OPEN, _COMMA, _CLOSE, _NOTHING = (pa.scalar(text) for text in ("{", ",", "}", ""))


def _attributes_json(batch: Normalised, scrubbed: Counter[str]) -> pa.Array:
    """Allow-listed attributes and known error words of each span as a JSON object; null if none."""
    attributes, spans = batch.spans.attributes, batch.spans
    n = len(spans)
    owners, fragments = _kept_fragments(attributes, batch.kept, scrubbed)
    words = [scrub.error_words(v) for v in spans.status_message.values]
    said = np.array([w is not None for w in words] + [False], np.bool_)[spans.status_message.codes]
    if said.any():
        texts = [b'"error_words":' + orjson.dumps(w) for w in words]
        rows = np.flatnonzero(said)
        owners = np.concatenate([owners, rows])
        fragments = pa.concat_arrays(
            [fragments, pa.array(texts, pa.binary()).take(pa.array(spans.status_message.codes[rows]))]
        )
    if not len(owners):
        return pa.nulls(n, pa.string())
    order = np.argsort(owners, kind="stable")
    counts = np.bincount(owners, minlength=n)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), fragments.take(pa.array(order)).cast(pa.string()))
    bodies = pc.binary_join_element_wise(_OPEN, pc.binary_join(lists, _COMMA), _CLOSE, _NOTHING)
    return pc.if_else(pa.array(counts > 0), bodies, pa.scalar(None, pa.string()))


def _kept_fragments(
    attributes: Attributes, kept: Codes, scrubbed: Counter[str]
) -> tuple[npt.NDArray[np.int64], pa.Array]:
    if not len(kept):
        return np.zeros(0, np.int64), pa.array([], pa.binary())
    texts = attributes.texts(kept)
    types = attributes.type[kept] == STRING
    pairs = (attributes.key[kept].astype(np.int64) * (len(texts.values) + 1) + texts.codes + 1) * 2 + types
    distinct, codes = np.unique(pairs, return_inverse=True)
    first = np.zeros(len(distinct), np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    fragments = []
    for row in first.tolist():
        key = orjson.dumps(attributes.keys[attributes.key[kept[row]]])
        value = texts.values[texts.codes[row]] if texts.codes[row] >= 0 else "null"
        if types[row]:
            value = orjson.dumps(scrub.name(value, scrubbed)).decode()
        fragments.append(key + b":" + value.encode())
    return attributes.owner[kept].astype(np.int64), pa.array(fragments, pa.binary()).take(pa.array(codes))


def _tool_parts(parts: ToolParts, hasher: Hasher, scrubbed: Counter[str], reasons: Reasons) -> pa.Table:
    """Rows for `message_tool_calls`; few, since only messages that name tools reach it."""
    args = [None if a is None else a.encode() for a in parts.arguments]
    results = [None if r is None else r.encode() for r in parts.result]
    canonical = [(None, None) if a is None else _canonical(a, hasher) for a in args]
    shaped = pc.replace_substring_regex(pa.array([c for c, _ in canonical], pa.binary()), _VARIABLE, "#").to_pylist()

    def hashed(purpose: str, values: list[bytes | None]) -> pa.Array:
        return pa.array([None if v is None else hasher.one(purpose, v) for v in values], pa.uint64())

    return pa.table(
        {
            "row": pa.array(parts.span, pa.int64()),
            "call_hash": hashed("call", [c.encode() for c in parts.call_id]),
            "tool": pa.array([None if t is None else scrub.name(t, scrubbed) for t in parts.tool], pa.string()),
            "args_hash": hashed("content", args),
            "args_shape": hashed("shape", shaped),
            "paging": pa.array([p for _, p in canonical], pa.int64()),
            "args_bytes": pa.array([None if a is None else len(a) for a in args], pa.int32()),
            "result_hash": hashed("content", results),
            "result_bytes": pa.array([None if r is None else len(r) for r in results], pa.int32()),
            "asked": pa.array(parts.asked, pa.bool_()),
            "answered": pa.array(parts.answered, pa.bool_()),
            "error_reason": pa.array([None if r is None else failure(r, reasons) for r in parts.result], pa.string()),
        }
    )
