"""Which dialect a span speaks, and which kind of span it is."""

import re

import numpy as np
import pyarrow as pa

from collector.dialects.embedded import Dialects, Rows, Small, unquoted
from collector.dialects.lookup import Lookup
from collector.dialects.resources import attributes_of, scope_of
from collector.dialects.tables import KindRule, Tables
from collector.otlp.attributes import Codes, Ints
from collector.otlp.columns import Ids, SpanColumns
from collector.semconv import KINDS

# How sure a kind is, as the facet's `mapping` says it.
UNKNOWN, ASSUMED, EXACT = range(3)
_MIX: Ids = np.random.default_rng().integers(1, 2**63, 128, np.uint64) | np.uint64(1)


class Recogniser:
    """The recognise sections of all tables, ready to be asked."""

    def __init__(self, tables: Tables) -> None:
        self.none = len(tables.dialects)
        self._scopes = _patterns(tables, "scopes")
        self._services = _patterns(tables, "services")
        self._names = _patterns(tables, "names")

    def dialects(self, spans: SpanColumns, lookup: Lookup) -> Dialects:
        """Code of the first dialect in the list that recognises each span; the last one, `raw`, if none does."""
        names = self._first(spans.name.values, self._names)
        scopes = self._first([scope_of(s)[0] for s in spans.scopes], self._scopes)
        services = self._first([attributes_of(r).get("service.name", "") for r in spans.resources], self._services)
        best = np.minimum(scopes[spans.scope], services[spans.resource])
        best = np.minimum(best, names[spans.name.codes])
        attributes = spans.attributes
        ids = lookup.ids(attributes.keys)
        marks = lookup.recognises[ids]
        for key in np.flatnonzero(marks < self.none):
            owners = attributes.owner[attributes.key == key]
            best[owners] = np.minimum(best[owners], marks[key])
        return np.where(best < self.none, best, self.none - 1).astype(np.int16)

    def _first(self, values: list[str], patterns: list[tuple[int, re.Pattern[str]]]) -> Dialects:
        """Per value the first dialect whose pattern matches; one entry more, for codes of -1."""
        codes = [next((c for c, p in patterns if p.fullmatch(v)), self.none) for v in values]
        return np.array([*codes, self.none], np.int16)


def _patterns(tables: Tables, section: str) -> list[tuple[int, re.Pattern[str]]]:
    """(dialect code, one pattern for all its entries), dialects without entries left out."""
    found = []
    for code, dialect in enumerate(tables.dialects):
        if globs := dialect.recognise[section]:
            words = ("(?:" + ".*".join(re.escape(p) for p in g.split("*")) + ")" for g in globs)
            found.append((code, re.compile("|".join(words), re.IGNORECASE | re.DOTALL)))
    return found


def kinds(spans: SpanColumns, rows: Rows, lookup: Lookup, dialect: Dialects) -> tuple[Small, Small]:
    """Index into KINDS per span, and how sure it is (UNKNOWN, ASSUMED, EXACT)."""
    tells = np.flatnonzero(lookup.slot_rule[rows.slot] >= 0)
    slot, owner = rows.slot[tells], rows.owner[rows.at[tells]]
    present = lookup.slot_present[slot]
    read = rows.texts(np.where(present, -1, rows.at[tells]).astype(np.int32))
    texts = [*read.values, "", None]
    code = np.where(present, len(read.values), read.codes)
    columns: dict[int, Codes] = {}
    for rule in np.flatnonzero(np.bincount(lookup.slot_rule[slot])).tolist():
        here = lookup.slot_rule[slot] == rule
        columns[rule] = np.full(len(spans), -1, np.int32)
        columns[rule][owner[here]] = code[here]
    codes, first = combine([dialect.astype(np.int32), spans.name.codes, *columns.values()])
    names, dialects = [*spans.name.values, ""], lookup.tables.dialects
    distinct = zip(dialect[first], spans.name.codes[first], *(c[first] for c in columns.values()), strict=True)
    found = np.zeros((len(first), 2), np.int8)
    for i, (d, n, *given) in enumerate(distinct):
        found[i] = _kind(dialects[d].kinds, names[n], dict(zip(columns, (texts[c] for c in given), strict=True)))
    return found[codes, 0], found[codes, 1]


def _kind(rules: tuple[KindRule, ...], name: str, given: dict[int, str | None]) -> tuple[int, int]:
    """The first rule that knows the kind decides. `given`: values of the rules' sources, by the rule's place."""
    for place, rule in enumerate(rules):
        value = given.get(place) if rule.source else name
        if value is None:
            continue
        if rule.present:
            return KINDS.index(rule.present), ASSUMED
        value = unquoted(value)
        if rule.same_as_name and value == name:
            return KINDS.index(rule.same_as_name), EXACT
        for pattern, kind in rule.values:
            if pattern.fullmatch(value):
                return KINDS.index(kind), EXACT
    return KINDS.index("other"), UNKNOWN


def combine(columns: list[Codes]) -> tuple[Codes, Ints]:
    """Distinct rows of equally long code columns: the number of its row per entry, and where each row occurs first.

    Rows are told apart by a random linear hash of 64 bits.
    """
    hashed: Ids = _MIX[: len(columns)] @ np.array(columns, np.int64).view(np.uint64)
    encoded = pa.array(hashed).dictionary_encode()
    codes: Codes = encoded.indices.to_numpy()
    first = np.zeros(len(encoded.dictionary), np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return codes, first
