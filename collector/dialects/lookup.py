"""What the tables say about an attribute key, as arrays indexed by key and dialect."""

import re
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from collector.dialects.tables import MAPPED_FIELDS, Source, Tables, glob
from collector.otlp.attributes import Bools, Codes
from collector.semconv import KINDS

NOTHING = 0  # the id of every key that no table knows
REMEMBERED_KEYS = 50_000


class Lookup:
    """Compiled tables. One id stands for all keys that the same patterns match; arrays are indexed by such ids.

    A slot is one (field, source) pair of a dialect. slot_field: index into MAPPED_FIELDS, or -1 where the slot
    feeds a rule of the kind instead: slot_rule, the rule's place (-1 for none), and slot_present, whether only
    the presence of a value counts. slot_place: the source's place in its list (0 is best). slot_kinds: for which
    kinds it holds; slot_conditional: whether that is not all of them.
    targets[t, id, dialect]: the t-th slot that a key fills, -1 for none.
    recognises[id]: code of the first dialect that this key gives away, `len(dialects)` for none.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.unrecognised = len(tables.dialects)
        slots: list[tuple[int, int, int, bool, frozenset[str]]] = []
        self._exact: dict[str, int] = {}
        self._globs: list[tuple[re.Pattern[str], int]] = []
        self._uses: list[list[tuple[int, int]]] = []  # pattern -> (dialect, slot)
        self._marks: list[int] = []  # pattern -> first dialect that it gives away
        self._keeps: list[bool] = []
        self._patterns: dict[str, int] = {}
        self._paths: dict[tuple[str, bool], list[Source]] = {}
        for code, dialect in enumerate(tables.dialects):
            wanted = [
                (s, (MAPPED_FIELDS.index(name), -1, place, False, s.kinds))
                for name, sources in dialect.fields.items()
                for place, s in enumerate(sources)
            ]
            rules = ((i, r, r.source) for i, r in enumerate(dialect.kinds))
            wanted += [(s, (-1, i, 0, r.present is not None, frozenset())) for i, r, s in rules if s]
            for source, slot in wanted:
                self._uses[self._pattern(source.text)].append((code, len(slots)))
                slots.append(slot)
                paths = self._paths.setdefault((source.key, slot[0] < 0), []) if source.path else []
                if source.path and source.text not in {s.text for s in paths}:
                    paths.append(source)
            for key in dialect.recognise["attributes"]:
                pattern = self._pattern(key)
                self._marks[pattern] = min(self._marks[pattern], code)
        for key in tables.kept:
            self._keeps[self._pattern(key)] = True
        fields, rule_places, places, present, kinds = zip(*slots, strict=True)
        self.slot_field = np.array(fields, np.int16)
        self.slot_rule = np.array(rule_places, np.int16)
        self.slot_place = np.array(places, np.int8)
        self.slot_present: Bools = np.array(present, np.bool_)
        self.slot_kinds: Bools = np.array([[not k or kind in k for kind in KINDS] for k in kinds], np.bool_)
        self.slot_conditional: Bools = np.asarray(~self.slot_kinds.all(axis=1))
        self._ids: dict[str, int] = {}
        self._sets: dict[frozenset[int], int] = {frozenset(): NOTHING}
        self.targets: npt.NDArray[np.int16] = np.full((1, 1, len(tables.dialects)), -1, np.int16)
        self.recognises: npt.NDArray[np.int16] = np.array([self.unrecognised], np.int16)
        self.kept: Bools = np.array([False])

    def ids(self, keys: Iterable[str]) -> Codes:
        """The id of each key."""
        if len(self._ids) > REMEMBERED_KEYS:
            self._ids = {}
        return np.array([self._ids[k] if k in self._ids else self._learn(k) for k in keys], np.int32)

    def paths(self, key: str, rules: bool) -> list[Source]:
        """The JSON paths that some dialect reads inside values of this key, for a rule of the kind or for fields."""
        return self._paths.get((key, rules), [])

    def _pattern(self, text: str) -> int:
        """The number of a key or glob."""
        if text not in self._patterns:
            number = self._patterns[text] = len(self._uses)
            self._uses.append([])
            self._marks.append(self.unrecognised)
            self._keeps.append(False)
            if "*" in text:
                self._globs.append((glob(text), number))
            else:
                self._exact[text] = number
        return self._patterns[text]

    def _learn(self, key: str) -> int:
        matching = {number for pattern, number in self._globs if pattern.fullmatch(key)}
        patterns = frozenset(matching | ({self._exact[key]} if key in self._exact else set()))
        if patterns not in self._sets:
            self._sets[patterns] = len(self.recognises)
            self._add(patterns)
        self._ids[key] = self._sets[patterns]
        return self._ids[key]

    def _add(self, patterns: frozenset[int]) -> None:
        """A new id: append its entries to the arrays."""
        per_dialect: dict[int, list[int]] = {}
        for pattern in sorted(patterns):
            for dialect, slot in self._uses[pattern]:
                per_dialect.setdefault(dialect, []).append(slot)
        depth = max([len(s) for s in per_dialect.values()] + [len(self.targets)])
        grown = np.full((depth, len(self.recognises) + 1, len(self.tables.dialects)), -1, np.int16)
        grown[: len(self.targets), :-1] = self.targets
        for dialect, slots in per_dialect.items():
            grown[: len(slots), -1, dialect] = slots
        self.targets = grown
        marks = [self._marks[p] for p in patterns]
        self.recognises = np.append(self.recognises, np.int16(min([*marks, self.unrecognised])))
        self.kept = np.append(self.kept, any(self._keeps[p] for p in patterns))
