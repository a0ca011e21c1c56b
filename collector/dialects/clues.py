"""What stays of a span beside what the tables read of it: numbers of usage and single names, for a better mapping."""

import re

import numpy as np

from collector.dialects.embedded import Rows, Small
from collector.dialects.lookup import REMEMBERED_KEYS, Lookup
from collector.dialects.recognition import UNKNOWN
from collector.dialects.tables import FIELD_TYPES, MAPPED_FIELDS, Tables, glob
from collector.otlp.attributes import DOUBLE, INT, STRING, Bools

MOST = 24  # of one span
MAX_NAME_BYTES = 80

_KEY = re.compile(r"[A-Za-z0-9_./-]{1,120}")
_NAME = re.compile(r"[A-Za-z0-9_.:/+-]+")
_SAID = re.compile(r"message|prompt|completion|content|argument|document|header", re.IGNORECASE)  # parts of content
_CONTENT: Bools = np.array([FIELD_TYPES[f] == "content" for f in MAPPED_FIELDS])
_NOTHING, _TOKENS, _NUMBER, _WORD = range(4)


class Clues:
    """Which attributes are clues, by the patterns of the tables."""

    def __init__(self, tables: Tables, lookup: Lookup) -> None:
        patterns = ((_TOKENS, tables.clue_tokens), (_NUMBER, tables.clue_numbers), (_WORD, tables.clue_names))
        self._patterns = [(what, glob(p)) for what, globs in patterns for p in globs]
        self._lookup = lookup
        self._known: dict[str, int] = {}

    def of(self, rows: Rows, mapped: Bools, sure: Small) -> Bools:
        """Which attributes of a batch are clues. mapped: which of them the tables read. sure: of each span's kind.

        Of spans whose kind no rule knew: numbers and single words. Of others: counts of tokens that no table reads and
        that are not 0. Never what some dialect reads as content.
        """
        attributes = rows.attributes
        own, types = len(attributes), attributes.type
        if not own:
            return np.zeros(0, np.bool_)
        tells = np.array([self._tells(key) for key in attributes.keys], np.int8)[attributes.key]
        unknown = sure[attributes.owner] == UNKNOWN
        number = (types == INT) | (types == DOUBLE)
        found: Bools = (unknown & number & ((tells == _TOKENS) | (tells == _NUMBER))) | (
            unknown & (tells == _WORD) & (types == STRING) & (rows.length[:own] <= MAX_NAME_BYTES)
        )
        found &= rows.filled[:own]
        at = np.flatnonzero(~unknown & ~mapped & (tells == _TOKENS) & number).astype(np.int32)
        found[at[attributes.floats(at)[0] != 0]] = True
        words = np.flatnonzero(found & (types == STRING)).astype(np.int32)
        if len(words):
            texts = attributes.texts(words)
            single = np.array([*(bool(_NAME.fullmatch(v)) for v in texts.values), False])
            found[words[~single[texts.codes]]] = False
        kept = np.flatnonzero(found)
        kept = kept[np.argsort(attributes.owner[kept], kind="stable")]
        owner = attributes.owner[kept]
        found[kept[np.arange(len(kept)) - np.searchsorted(owner, owner) >= MOST]] = False
        return found

    def _tells(self, key: str) -> int:
        if key not in self._known:
            if len(self._known) >= REMEMBERED_KEYS:
                self._known = {}
            self._known[key] = self._judge(key)
        return self._known[key]

    def _judge(self, key: str) -> int:
        slots = self._lookup.targets[:, self._lookup.ids([key])[0]]
        if not _KEY.fullmatch(key) or _CONTENT[self._lookup.slot_field[slots[slots >= 0]]].any():
            return _NOTHING
        what = next((what for what, pattern in self._patterns if pattern.fullmatch(key)), _NOTHING)
        return _NOTHING if what == _WORD and _SAID.search(key) else what
