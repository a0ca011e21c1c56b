"""The matrix of field x span: which attribute row fills each field of each span, and the values read through it."""

import re

import numpy as np
import numpy.typing as npt

from collector.dialects.descriptions import TEXT_FIELDS
from collector.dialects.embedded import Rows, Small, unquoted
from collector.dialects.lookup import Lookup
from collector.dialects.normalised import IDENTITY_COLUMNS, Combos, Row
from collector.dialects.recognition import combine
from collector.dialects.tables import FIELD_TYPES, MAPPED_FIELDS
from collector.dialects.usage import Numbers
from collector.otlp.attributes import Bools, Codes, Ints

_IS_TEXT: Bools = np.array([f in {*TEXT_FIELDS, *IDENTITY_COLUMNS, "error_text", "cache_hit"} for f in MAPPED_FIELDS])
_IS_INT: Bools = np.array([t == "int" for t in FIELD_TYPES.values()])
_INT_FIELDS = tuple(f for f, t in FIELD_TYPES.items() if t == "int")
_OBJECT = re.compile(r"<[\w.]+ object at 0x[0-9a-fA-F]+>")
_MESSAGES = MAPPED_FIELDS.index("messages")


class TextColumns:
    """Text fields of n spans: codes into one list of values, -1 for none; a field no span has is not in `columns`."""

    def __init__(self, n: int, columns: dict[str, Codes], values: list[str]) -> None:
        self.columns, self.values = columns, values
        self._objects = np.array([*values, None], object)
        self._none = np.full(n, -1, np.int32)

    def rows(self, fields: tuple[str, ...], at: Ints) -> list[Row]:
        """The texts of some spans, one tuple each."""
        picked = np.array([self.columns.get(f, self._none)[at] for f in fields], np.int32)
        return [tuple(row) for row in self._objects[picked.T].tolist()]

    def combos(self, fields: tuple[str, ...]) -> Combos:
        """Distinct tuples of some fields."""
        codes, first = combine([self._none, *(self.columns[f] for f in fields if f in self.columns)])
        return Combos(codes, self.rows(fields, first))

    def named(self, fields: tuple[str, ...]) -> Combos:
        """The same of names: without the quotes of JSON, and without what Python prints of an object that has none."""
        told = self.combos(fields)
        return Combos(told.codes, [tuple(_name(text) for text in row) for row in told.rows])


def _name(text: str | None) -> str | None:
    plain = unquoted(text) if text else None
    return None if plain and _OBJECT.fullmatch(plain) else plain


class Cells:
    """The filled matrix of a batch of n spans.

    places: the row of each field that some span has, -1 for spans that have it not. messages: rows of model messages,
    all of them. mapped: which rows ended in some field or told a kind.
    """

    def __init__(self, n: int, rows: Rows, lookup: Lookup, kind: Small) -> None:
        self.n, self._rows = n, rows
        at, slot = rows.at, rows.slot
        conditional = lookup.slot_conditional[slot]
        if conditional.any():
            holds = ~conditional
            holds[conditional] = lookup.slot_kinds[slot[conditional], kind[rows.owner[at[conditional]]]]
            at, slot = at[holds], slot[holds]
        self.mapped: Bools = np.zeros(len(rows), np.bool_)
        self.mapped[at] = True
        order = np.argsort(-lookup.slot_place[slot], kind="stable")  # the best source is written last
        order = order[lookup.slot_field[slot[order]] >= 0]
        self._at, self._field = at[order], lookup.slot_field[slot[order]]
        present = np.flatnonzero(np.bincount(self._field, minlength=len(MAPPED_FIELDS)))
        line = np.zeros(len(MAPPED_FIELDS), np.int64)
        line[present] = np.arange(len(present))
        self._fields = [MAPPED_FIELDS[f] for f in present.tolist()]
        self._matrix: npt.NDArray[np.int32] = np.full((len(present), n), -1, np.int32)
        self._matrix.ravel()[line[self._field] * n + rows.owner[self._at]] = self._at
        self.places: dict[str, Codes] = dict(zip(self._fields, self._matrix, strict=True))
        self.messages: Codes = np.sort(self._at[self._field == _MESSAGES])

    def texts(self) -> TextColumns:
        """All text fields, read together."""
        at = self._at[_IS_TEXT[self._field]]
        read = self._rows.texts(at)
        codes = np.full(len(self._rows) + 1, -1, np.int32)
        codes[at] = read.codes
        lines = [i for i, f in enumerate(self._fields) if _IS_TEXT[MAPPED_FIELDS.index(f)]]
        columns = dict(zip((self._fields[i] for i in lines), codes[self._matrix[lines]], strict=True))
        return TextColumns(self.n, columns, read.values)

    def ints(self) -> Numbers:
        """All integer fields, read together; a field that no span has is there too."""
        at = self._at[_IS_INT[self._field]]
        values, known = np.zeros(len(self._rows) + 1, np.int64), np.zeros(len(self._rows) + 1, np.bool_)
        values[at], known[at] = self._rows.ints(at)
        lines = [i for i, f in enumerate(self._fields) if FIELD_TYPES[f] == "int"]
        picked = self._matrix[lines]
        found = zip((self._fields[i] for i in lines), zip(values[picked], known[picked], strict=True), strict=True)
        absent = np.zeros(self.n, np.int64), np.zeros(self.n, np.bool_)
        return dict.fromkeys(_INT_FIELDS, absent) | dict(found)

    def floats(self, field: str) -> tuple[npt.NDArray[np.float64], Bools] | None:
        """One float field; None if no span has it."""
        return self._rows.floats(self.places[field]) if field in self.places else None
