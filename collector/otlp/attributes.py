"""All attributes of a batch as columns, whatever the types of their values."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from collector.otlp import anyvalue

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

# Types of AnyValue, as Attributes.type holds them.
NONE, STRING, BOOL, INT, DOUBLE, ARRAY, KVLIST, BYTES = range(8)
TYPE_FIELDS = (
    (STRING, "string_value"),
    (BOOL, "bool_value"),
    (INT, "int_value"),
    (DOUBLE, "double_value"),
    (ARRAY, "array_value"),
    (KVLIST, "kvlist_value"),
    (BYTES, "bytes_value"),
)


@dataclass(frozen=True)
class Texts:
    """A text column: `codes[i]` indexes `values`, -1 is null."""

    codes: Codes
    values: list[str]


@dataclass(frozen=True)
class Attributes:
    """All attributes of a batch, one row each, in the order of their spans.

    owner: index of the span. key: code into `keys`. type: one of NONE..BYTES. Use `texts`, `ints` and
    `floats` to read values of any type as one column.
    """

    owner: Codes
    key: Codes
    keys: list[str]
    type: npt.NDArray[np.uint8]
    values: pa.StructArray

    def __len__(self) -> int:
        return len(self.owner)

    def raw(self, at: Codes) -> pa.BinaryArray:
        """String values at these attribute rows as bytes; null for other types."""
        return self.values.field("string_value").take(pa.array(at))

    def lengths(self) -> Ints:
        """Bytes of each row's text; -1 for values of other types."""
        return numbers_of(pc.binary_length(self.values.field("string_value")).fill_null(-1), np.int64)  # type: ignore[no-any-return]

    def texts(self, at: Codes) -> Texts:
        """Values at these attribute rows as repaired text: numbers and booleans in JSON notation,
        arrays and key-value lists as JSON. -1 in `at` gives null, and so do values too deep."""
        picked = np.flatnonzero(at >= 0)
        codes = np.full(len(at), -1, np.int32)
        values: list[str] = []
        rows = at[picked]
        types = self.type[rows]
        for kind, name in TYPE_FIELDS:
            here = picked[types == kind]
            if not len(here):
                continue
            encoded = self.values.field(name).take(pa.array(at[here])).dictionary_encode()
            texts = [_render(kind, v) for v in encoded.dictionary.to_pylist()]
            shifted = np.array([len(values) + i if t is not None else -1 for i, t in enumerate(texts)], np.int32)
            codes[here] = shifted[encoded.indices.to_numpy()]
            values += [t or "" for t in texts]
        return Texts(codes, values)

    def floats(self, at: Codes) -> tuple[npt.NDArray[np.float64], Bools]:
        """Values at these attribute rows as numbers, and which of them are numbers. Text is parsed."""
        out, ok = np.zeros(len(at), np.float64), np.zeros(len(at), np.bool_)
        picked = np.flatnonzero(at >= 0)
        types = self.type[at[picked]]
        for kind, name in ((INT, "int_value"), (DOUBLE, "double_value"), (BOOL, "bool_value")):
            here = picked[types == kind]
            if len(here):
                out[here] = numbers_of(self.values.field(name), np.float64)[at[here]]
                ok[here] = True
        here = picked[types == STRING]
        if len(here):
            texts = self.texts(at[here])
            parsed = [_parse(v) for v in texts.values]
            numbers = np.array([p if p is not None else np.nan for p in parsed], np.float64)
            out[here] = numbers[texts.codes]
            ok[here] = ~np.isnan(out[here])
        ok &= np.isfinite(out)
        return np.where(ok, out, 0.0), ok

    def ints(self, at: Codes) -> tuple[Ints, Bools]:
        """Values at these attribute rows as integers (rounded), and which of them are numbers."""
        picked = at >= 0
        if len(self.type) and bool(np.all(self.type[at[picked]] == INT)):
            out = np.zeros(len(at), np.int64)
            out[picked] = numbers_of(self.values.field("int_value"), np.int64)[at[picked]]
            return out, picked
        floats, ok = self.floats(at)
        inside = np.abs(floats) < 2.0**62
        return np.where(inside, np.rint(floats), 0.0).astype(np.int64), ok & inside


def numbers_of(column: pa.Array, dtype: Any) -> Any:
    """A numeric column as numpy, null as 0."""
    zero = False if pa.types.is_boolean(column.type) else 0
    return column.fill_null(zero).to_numpy(zero_copy_only=False).astype(dtype, copy=False)


def _render(kind: int, value: Any) -> str | None:
    """One distinct value as text; nested values as JSON."""
    try:
        match kind:
            case 1:  # STRING
                return anyvalue.text(value)
            case 5:  # ARRAY
                return orjson.dumps(anyvalue.array(value)).decode()
            case 6:  # KVLIST
                return orjson.dumps(anyvalue.kvlist(value)).decode()
            case 7:  # BYTES
                return str(value.hex())
            case _:
                return orjson.dumps(value).decode()
    except (anyvalue.TooDeep, TypeError):
        return None


@lru_cache(maxsize=65536)
def _parse(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
