"""Values that emitters hide inside the JSON of one attribute, as attributes of their own."""

import ast
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from collector.dialects.lookup import Lookup
from collector.dialects.tables import Source
from collector.otlp.columns import NONE, STRING, Attributes, Bools, Codes, Ints, Texts

MAX_JSON = 262_144  # characters of a JSON value that is parsed at most,
MAX_LITERAL = 16_384  # ... of a Python literal,
MAX_REMEMBERED = 1_024  # ... and of one whose result is remembered


class Rows:
    """Attribute rows of a batch and, numbered after them, the rows found inside JSON values.

    owner: the span of each row. id: what `Lookup` knows of its key. filled: whether it holds a value; empty texts
    do not. length: bytes of a text, -1 for other values. at, slot: what the tables make of the filled rows, one
    entry for each slot (see Lookup) that a row can fill.
    """

    def __init__(self, attributes: Attributes, lookup: Lookup, dialect: npt.NDArray[np.int16]) -> None:
        ids = lookup.ids(attributes.keys)
        self.attributes = attributes
        self.owner, self.id = attributes.owner, ids[attributes.key] if len(ids) else np.zeros(0, np.int32)
        self.length = attributes.lengths()
        self.filled: Bools = (attributes.type != NONE) & (self.length != 0)
        self._found = _found(attributes, lookup, dialect)
        if self._found:
            found_ids = lookup.ids(self._found.keys)
            self.owner = np.concatenate([self.owner, self._found.owner])
            self.id = np.concatenate([self.id, found_ids[self._found.key]])
            self.filled = np.concatenate([self.filled, np.ones(len(self._found), np.bool_)])
        cell = self.id.astype(np.int64) * len(lookup.tables.dialects) + dialect[self.owner]
        at = np.flatnonzero(self.filled).astype(np.int32)
        filling: list[tuple[Codes, npt.NDArray[np.int16]]] = []
        for target in lookup.targets:  # a key that fills a slot here has filled all earlier ones
            slot = target.ravel()[cell[at]]
            at, slot = at[slot >= 0], slot[slot >= 0]
            filling.append((at, slot))
        self.at: Codes = np.concatenate([a for a, _ in filling])
        self.slot: npt.NDArray[np.int16] = np.concatenate([s for _, s in filling])

    def __len__(self) -> int:
        return len(self.owner)

    def texts(self, at: Codes) -> Texts:
        """As Attributes.texts, over both."""
        own, found = self._split(at)
        first = self.attributes.texts(own)
        if self._found is None or found is None:
            return first
        second = self._found.texts(found)
        codes = np.where(second.codes >= 0, second.codes + np.int32(len(first.values)), first.codes)
        return Texts(codes.astype(np.int32), first.values + second.values)

    def floats(self, at: Codes) -> tuple[npt.NDArray[np.float64], Bools]:
        """As Attributes.floats, over both."""
        own, found = self._split(at)
        values, known = self.attributes.floats(own)
        if self._found is None or found is None:
            return values, known
        more, also = self._found.floats(found)
        return values + more, known | also

    def ints(self, at: Codes) -> tuple[Ints, Bools]:
        """As Attributes.ints, over both."""
        own, found = self._split(at)
        values, known = self.attributes.ints(own)
        if self._found is None or found is None:
            return values, known
        more, also = self._found.ints(found)
        return values + more, known | also

    def _split(self, at: Codes) -> tuple[Codes, Codes | None]:
        n = len(self.attributes)
        if self._found is None or not (at >= n).any():
            return at, None
        return np.where(at < n, at, -1).astype(np.int32), np.where(at >= n, at - n, -1).astype(np.int32)


def _found(attributes: Attributes, lookup: Lookup, dialect: npt.NDArray[np.int16]) -> Attributes | None:
    """What the tables want from inside JSON values, as text attributes keyed `key#path`."""
    owners: list[Codes] = []
    keys: list[str] = []
    values: list[list[str]] = []
    for code, key in enumerate(attributes.keys):
        sources = lookup.paths(key)
        if not sources:
            continue
        numbers = lookup.ids(s.text for s in sources)
        wanted: Bools = np.asarray((lookup.targets[:, numbers] >= 0).any(axis=0))
        everywhere = np.flatnonzero(attributes.key == code).astype(np.int32)
        spoken = wanted[:, dialect[attributes.owner[everywhere]]].any(axis=0)
        rows, texts = _documents(attributes, everywhere[spoken], sources)
        documents = [_parsed(v) for v in texts.values]
        for source, dialects in zip(sources, wanted, strict=True):
            found = [at_path(d, source.path) for d in documents]
            has = np.array([v is not None for v in found], np.bool_)
            owner = attributes.owner[rows]
            if not has.any():
                continue
            here = np.flatnonzero(has[texts.codes] & (texts.codes >= 0) & dialects[dialect[owner]])
            if len(here):
                owners.append(owner[here])
                keys.append(source.text)
                values.append([found[c] or "" for c in texts.codes[here].tolist()])
    if not keys:
        return None
    flat = pa.array([v.encode() for part in values for v in part], pa.binary())
    column = pa.StructArray.from_arrays([flat], ["string_value"])
    key_codes = np.repeat(np.arange(len(keys), dtype=np.int32), [len(part) for part in values])
    return Attributes(np.concatenate(owners), key_codes, keys, np.full(len(flat), STRING, np.uint8), column)


def _documents(attributes: Attributes, rows: Codes, sources: list[Source]) -> tuple[Codes, Texts]:
    """Those of the rows that can hold one of the sources, and their texts. Few words are looked for before parsing."""
    words = {s.path[-1] for s in sources}
    if len(rows) and len(words) < 4 and bool(np.all(attributes.type[rows] == STRING)):
        rows = rows[quoting(attributes.raw(rows), words)]
    return rows, attributes.texts(rows)


def quoting(values: pa.BinaryArray, words: Iterable[str]) -> Bools:
    """Which values have one of the words straight after a quotation mark, as JSON and Python literals write keys."""
    if not len(values):
        return np.zeros(0, np.bool_)
    offsets = np.frombuffer(values.buffers()[1], np.int32, values.offset + len(values) + 1)[values.offset :]
    data = np.frombuffer(values.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    quotes = np.flatnonzero((data == ord('"')) | (data == ord("'")))
    found = np.zeros(len(values), np.bool_)
    for word in (w.encode() for w in words):
        here = quotes[quotes < len(data) - len(word)]
        for i, letter in enumerate(word, 1):
            here = here[data[here + i] == letter]
        found[np.searchsorted(offsets - offsets[0], here, "right") - 1] = True
    return found


def at_path(document: Any, path: tuple[str, ...]) -> str | None:
    """The scalar at `path` of a parsed value, as text; None without one."""
    for step in path:
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    match document:
        case bool():
            return "true" if document else "false"
        case str():
            return document or None
        case int() | float():
            return repr(document)
        case _:
            return None


def unquoted(text: str) -> str:
    """A text without the JSON quotation that some emitters put around it."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        return str(orjson.loads(text))
    except orjson.JSONDecodeError:
        return text


def parse(text: str | bytes) -> Any:
    """The value of a JSON object or array, or of a short Python literal of one; None for anything else."""
    if len(text) > MAX_JSON or text[:1] not in ("{", "[", b"{", b"["):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    if len(text) > MAX_LITERAL:
        return None
    try:
        return ast.literal_eval(text if isinstance(text, str) else text.decode("utf-8", "replace"))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _parsed(text: str) -> Any:
    return _parsed_short(text) if len(text) <= MAX_REMEMBERED else parse(text)


@lru_cache(maxsize=4096)
def _parsed_short(text: str) -> Any:
    return parse(text)
