"""Values that emitters hide inside the JSON of one attribute, as attributes of their own."""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from collector.dialects.lookup import Lookup
from collector.dialects.tables import Source
from collector.otlp.attributes import NONE, STRING, Attributes, Bools, Codes, Ints, Texts

Dialects = npt.NDArray[np.int16]  # a dialect's code per span
Small = npt.NDArray[np.int8]

MAX_WORDS = 5
MAX_JSON = 262_144  # characters of a JSON value that is parsed at most,
MAX_LITERAL = 2_048  # ... of a Python literal, which reads a hundred times slower,
MAX_REMEMBERED = 1_024  # ... and of one whose result is remembered

_JSON_WORDS = {"'": '"', "None": "null", "True": "true", "False": "false"}
_WORDS = re.compile(r"'|\b(?:None|True|False)\b")
_WORD = re.compile(r"[\w.:/-]{1,200}")


class Rows:
    """Attribute rows of a batch and, numbered after them, the rows found inside JSON values.

    owner: the span of each row. id: what `Lookup` knows of its key. filled: whether it holds a value; empty texts
    do not. length: bytes of an attribute's text, -1 for other values. at, slot: what the tables make of the filled
    rows, one entry for each slot (see Lookup) that a row can fill.
    """

    def __init__(self, attributes: Attributes, lookup: Lookup, dialect: Dialects) -> None:
        self.attributes, self._lookup, self._dialect = attributes, lookup, dialect
        self._parts = [attributes]
        ids = lookup.ids(attributes.keys)
        self.owner, self.id = attributes.owner, ids[attributes.key] if len(ids) else np.zeros(0, np.int32)
        self.length = attributes.lengths()
        self.filled: Bools = (attributes.type != NONE) & (self.length != 0)
        self.at, self.slot = self._slots(0)

    def __len__(self) -> int:
        return len(self.owner)

    def look_inside(self, kind: Small | None = None) -> None:
        """Add what the tables want from inside JSON values: what tells a kind, or, kinds being known, the fields."""
        found = _found(self.attributes, self._lookup, self._dialect, kind)
        if found is None:
            return
        ids = self._lookup.ids(found.keys)
        start = len(self)
        self._parts.append(found)
        self.owner = np.concatenate([self.owner, found.owner])
        self.id = np.concatenate([self.id, ids[found.key]])
        self.filled = np.concatenate([self.filled, np.ones(len(found), np.bool_)])
        at, slot = self._slots(start)
        self.at, self.slot = np.concatenate([self.at, at]), np.concatenate([self.slot, slot])

    def texts(self, at: Codes) -> Texts:
        """As Attributes.texts, over all rows."""
        if len(self._parts) == 1:
            return self.attributes.texts(at)
        codes = np.full(len(at), -1, np.int32)
        values: list[str] = []
        for part, here in self._split(at):
            read = part.texts(here)
            codes = np.where(read.codes >= 0, read.codes + np.int32(len(values)), codes)
            values += read.values
        return Texts(codes, values)

    def floats(self, at: Codes) -> tuple[npt.NDArray[np.float64], Bools]:
        """As Attributes.floats, over all rows."""
        read = [part.floats(here) for part, here in self._split(at)]
        return np.sum([r[0] for r in read], axis=0), np.any([r[1] for r in read], axis=0)

    def ints(self, at: Codes) -> tuple[Ints, Bools]:
        """As Attributes.ints, over all rows."""
        if len(self._parts) == 1:
            return self.attributes.ints(at)
        read = [part.ints(here) for part, here in self._split(at)]
        return np.sum([r[0] for r in read], axis=0), np.any([r[1] for r in read], axis=0)

    def _split(self, at: Codes) -> Iterator[tuple[Attributes, Codes]]:
        """The parts, each with its own row numbers; -1 for rows of the others. Parts without a row are left out."""
        start = 0
        for part in self._parts:
            inside = (at >= start) & (at < start + len(part))
            if part is self.attributes or inside.any():
                yield part, np.where(inside, at - start, -1).astype(np.int32)
            start += len(part)

    def _slots(self, start: int) -> tuple[Codes, npt.NDArray[np.int16]]:
        """Rows from `start` on and the slots that they can fill."""
        cell = self.id[start:].astype(np.int64) * len(self._lookup.tables.dialects) + self._dialect[self.owner[start:]]
        at = np.flatnonzero(self.filled[start:])
        filling: list[tuple[Codes, npt.NDArray[np.int16]]] = []
        for target in self._lookup.targets:  # a key that fills a slot here has filled all earlier ones
            slot = target.ravel()[cell[at]]
            at, slot = at[slot >= 0], slot[slot >= 0]
            filling.append(((at + start).astype(np.int32), slot))
        return np.concatenate([a for a, _ in filling]), np.concatenate([s for _, s in filling])


def _found(attributes: Attributes, lookup: Lookup, dialect: Dialects, kind: Small | None) -> Attributes | None:
    """What the tables want from inside JSON values, as text attributes keyed `key#path`."""
    owners: list[Codes] = []
    keys: list[str] = []
    values: list[list[str]] = []
    for code, key in enumerate(attributes.keys):
        sources = lookup.paths(key, rules=kind is None)
        if not sources:
            continue
        everywhere = np.flatnonzero(attributes.key == code).astype(np.int32)
        wanted = _wanted(lookup, sources, dialect[attributes.owner[everywhere]], kind, attributes.owner[everywhere])
        chosen = np.flatnonzero(wanted.any(axis=0))
        chosen = chosen[_holding(attributes, everywhere[chosen], {s.path[-1] for s in sources})]
        rows, wanted = everywhere[chosen], wanted[:, chosen]
        texts = attributes.texts(rows)
        documents = [_parsed(v) for v in texts.values]
        for source, here in zip(sources, wanted, strict=True):
            found = [at_path(d, source.path) for d in documents]
            has = np.array([*(v is not None for v in found), False])
            at = np.flatnonzero(has[texts.codes] & here)
            if len(at):
                owners.append(attributes.owner[rows[at]])
                keys.append(source.text)
                values.append([found[c] or "" for c in texts.codes[at].tolist()])
    if not keys:
        return None
    flat = pa.array([v.encode() for part in values for v in part], pa.binary())
    column = pa.StructArray.from_arrays([flat], ["string_value"])
    key_codes = np.repeat(np.arange(len(keys), dtype=np.int32), [len(part) for part in values])
    return Attributes(np.concatenate(owners), key_codes, keys, np.full(len(flat), STRING, np.uint8), column)


def _wanted(lookup: Lookup, sources: list[Source], dialect: Dialects, kind: Small | None, owner: Codes) -> Bools:
    """Per source and row whether the row's dialect reads it: for a kind, or for a field of spans of its kind."""
    numbers = lookup.ids(s.text for s in sources)
    wanted = np.zeros((len(sources), len(owner)), np.bool_)
    for target in lookup.targets:
        slot = target[numbers][:, dialect]
        is_rule = lookup.slot_rule[slot] >= 0
        wanted |= (slot >= 0) & (is_rule if kind is None else ~is_rule & lookup.slot_kinds[slot, kind[owner]])
    return wanted


def _holding(attributes: Attributes, rows: Codes, words: set[str]) -> Bools:
    """Which rows can be a JSON document with one of these keys; where there are many keys, which can be one at all."""
    if not len(rows) or not bool(np.all(attributes.type[rows] == STRING)):
        return np.ones(len(rows), np.bool_)
    values = attributes.raw(rows)
    return quoting(values, words) if len(words) <= MAX_WORDS else _opening(values)


def _opening(values: pa.BinaryArray) -> Bools:
    """Which values begin as a JSON object or array does."""
    offsets, data = _bytes_of(values)
    first = data[np.minimum(offsets[:-1], len(data) - 1)] if len(data) else np.zeros(len(values), np.uint8)
    opening: Bools = (offsets[1:] > offsets[:-1]) & ((first == ord("{")) | (first == ord("[")))
    return opening


def _bytes_of(values: pa.BinaryArray) -> tuple[Codes, npt.NDArray[np.uint8]]:
    """Where each value begins and ends in the bytes of all."""
    offsets = np.frombuffer(values.buffers()[1], np.int32, values.offset + len(values) + 1)[values.offset :]
    return offsets - offsets[0], np.frombuffer(values.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]


def quoting(values: pa.BinaryArray, words: Iterable[str]) -> Bools:
    """Which values have one of the words straight after a quotation mark, as JSON and Python literals write keys."""
    if not len(values):
        return np.zeros(0, np.bool_)
    offsets, data = _bytes_of(values)
    quotes = np.flatnonzero((data == ord('"')) | (data == ord("'")))
    found = np.zeros(len(values), np.bool_)
    for word in (w.encode() for w in words):
        here = quotes[quotes < len(data) - len(word)]
        for i, letter in enumerate(word, 1):
            here = here[data[here + i] == letter]
        found[np.searchsorted(offsets, here, "right") - 1] = True
    return found


def at_path(document: Any, path: tuple[str, ...]) -> str | None:
    """The scalar at `path` of a parsed value, as text; None without one. A step `~mark` is the word behind the last
    `mark` of a text, as Python prints objects."""
    for step in path:
        if step[0] == "~" and isinstance(document, str):
            found = _WORD.match(document, document.rfind(step[1:]) + len(step) - 1) if step[1:] in document else None
            document = found and found[0]
        elif isinstance(document, dict):
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
        return _literal(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)


def _literal(text: str) -> Any:
    """A dictionary as Python prints it: plain ones as the JSON that they nearly are, others by Python's own reader."""
    if len(text) > MAX_LITERAL or text[1:2] != "'":
        return None
    if '"' not in text and "\\" not in text:
        try:
            return orjson.loads(_WORDS.sub(lambda m: _JSON_WORDS[m[0]], text))
        except orjson.JSONDecodeError:
            pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _parsed(text: str) -> Any:
    return _parsed_short(text) if len(text) <= MAX_REMEMBERED else parse(text)


@lru_cache(maxsize=4096)
def _parsed_short(text: str) -> Any:
    return parse(text)
