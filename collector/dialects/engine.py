"""Spans of any dialect in the canonical model: the one engine that applies the dialect tables, on columns only.

Attribute rows are scattered into a matrix of field x span, the best source last; everything textual becomes codes
of one dictionary, and each distinct combination of codes is described once.
"""

import re
from collections import Counter
from functools import lru_cache

import numpy as np

from collector.dialects import usage
from collector.dialects.cells import Cells, TextColumns
from collector.dialects.clues import Clues
from collector.dialects.descriptions import TEXT_FIELDS, Descriptions, Raw
from collector.dialects.embedded import Dialects, Rows, Small
from collector.dialects.lookup import Lookup
from collector.dialects.message_parts import with_tool_parts
from collector.dialects.normalised import (
    CONTENT_FIELDS,
    FACET_COLUMNS,
    ID_FIELDS,
    IDENTITY_COLUMNS,
    NUMBER_COLUMNS,
    SOURCE_COLUMNS,
    Combos,
    Normalised,
    Row,
)
from collector.dialects.recognition import Recogniser, combine, kinds
from collector.dialects.resources import scope_of, source_row
from collector.dialects.tables import Tables, load_tables
from collector.otlp.attributes import Bools, Codes, Ints
from collector.otlp.columns import SpanColumns
from collector.semconv import KINDS, Flag

__all__ = [
    "CONTENT_FIELDS",
    "FACET_COLUMNS",
    "IDENTITY_COLUMNS",
    "ID_FIELDS",
    "NUMBER_COLUMNS",
    "SELF_CHECK_SCOPE",
    "SOURCE_COLUMNS",
    "TABLES",
    "Combos",
    "Normalised",
    "Row",
    "normalise",
]

TABLES: Tables = load_tables()
SELF_CHECK_SCOPE = "spanledger.self_check"  # instrumentation scope of the self-check's own spans
PUSD = 10**12  # 10^-12 USD in a USD

_LLM_CALL = KINDS.index("llm.call")
_MAX_KEY = 120
_INDEX = re.compile(r"(?<=[.\[])\d+(?=[.\]]|$)")

# Fields read as floats: the column they fill and what to multiply them with.
_SCALED: dict[str, tuple[str, float]] = {
    "reported_cost": ("reported_pusd", PUSD),
    "reported_microusd": ("reported_pusd", PUSD / 1e6),
    "first_token": ("first_token_ns", 1e9),
    "first_token_ms": ("first_token_ns", 1e6),
}
_HITS = ("true", "1", "hit")
# What a float field of a table may be: bounds beyond which a reported cost or time is not believed.
_MAX_SCALED = 2.0**62


@lru_cache(maxsize=8)
def _compiled(tables: Tables) -> tuple[Lookup, Recogniser, Descriptions, Clues]:
    lookup = Lookup(tables)
    return lookup, Recogniser(tables), Descriptions(tables), Clues(tables, lookup)


def normalise(spans: SpanColumns, tables: Tables = TABLES) -> Normalised:
    """Spans in the canonical model, whatever their dialects. Pure, columns in and columns out; an empty batch is fine.

    Nothing of a content attribute is in any text that comes out; `ids`, `content`, `messages` and `kept` point at
    attribute rows instead.
    """
    lookup, recogniser, descriptions, clues = _compiled(tables)
    dialect = recogniser.dialects(spans, lookup)
    rows = Rows(spans.attributes, lookup, dialect)
    rows.look_inside()
    kind, sure = kinds(spans, rows, lookup, dialect)
    rows.look_inside(kind)
    cells = Cells(len(spans), rows, lookup, kind)
    texts = cells.texts()
    decided = (dialect, kind, sure, spans.span_kind, spans.status_code, _reasons(spans, texts, descriptions))
    facet, bases = _facets(spans, [c.astype(np.int32) for c in decided], texts, descriptions)
    numbers, flags = _numbers(cells, bases)
    none = np.full(len(spans), -1, np.int32)
    ids = {f: cells.places.get(f, none) for f in ID_FIELDS}
    attributes = len(spans.attributes)
    kept = (lookup.kept[rows.id] & rows.filled)[:attributes] | clues.of(rows, cells.mapped[:attributes], sure)
    content = {f: _unless_redacted(cells.places.get(f, none), rows, dialect, tables) for f in CONTENT_FIELDS}
    return Normalised(
        spans=spans,
        facet=facet,
        identity=texts.named(IDENTITY_COLUMNS),
        source=_sources(spans, tables),
        kind=kind,
        numbers=numbers,
        ids={f: np.where(at < attributes, at, -1).astype(np.int32) for f, at in ids.items()},
        inner_ids={
            f: rows.texts(np.where(at < attributes, -1, at)) for f, at in ids.items() if (at >= attributes).any()
        },
        content=content,
        messages=with_tool_parts(spans.attributes, cells.messages),
        kept=np.flatnonzero(kept).astype(np.int32),
        flags=flags | _flags(spans, cells, texts, kind, numbers),
        dropped_keys=_dropped(spans, rows, kept | cells.mapped[:attributes]),
    )


def _reasons(spans: SpanColumns, texts: TextColumns, descriptions: Descriptions) -> Codes:
    """What the words of a span's error texts tell, -1 for nothing; the texts themselves go no further."""
    message = np.array([*(descriptions.reason(v) for v in spans.status_message.values), -1], np.int32)
    found = message[spans.status_message.codes]
    if "error_text" in texts.columns:
        codes = texts.columns["error_text"]
        told = {c: descriptions.reason(texts.values[c]) for c in np.unique(codes[codes >= 0]).tolist()}
        from_attribute = np.full(len(texts.values) + 1, -1, np.int32)
        from_attribute[list(told)] = list(told.values())
        found = np.where(found >= 0, found, from_attribute[codes])
    return found


def _facets(
    spans: SpanColumns, decided: list[Codes], texts: TextColumns, descriptions: Descriptions
) -> tuple[Combos, Small]:
    """Facet rows, and per span the bases of its usage (3 x n, indexes into usage.BASES).

    decided: the columns of a Raw before its name.
    """
    present = [texts.columns[f] for f in TEXT_FIELDS if f in texts.columns]
    codes, first = combine([*decided, spans.name.codes, *present])
    names = [*spans.name.values, ""]
    distinct = zip(
        *(c[first].tolist() for c in (*decided, spans.name.codes)), texts.rows(TEXT_FIELDS, first), strict=True
    )
    told = [descriptions.describe(Raw._make([*raw, names[name]]), row) for *raw, name, row in distinct]
    bases = np.array([t.bases for t in told], np.int8).reshape(-1, 3)
    return Combos(codes, [t.facet for t in told]), bases[codes].T


def _numbers(cells: Cells, bases: Small) -> tuple[usage.Numbers, Ints]:
    """Every column of NUMBER_COLUMNS, and the flags of the usage."""
    read = cells.ints()
    counted = usage.canonical(read, *bases)
    numbers = read | counted.tokens
    for field, (column, scale) in _SCALED.items():
        numbers.setdefault(column, (np.zeros(cells.n, np.int64), np.zeros(cells.n, np.bool_)))
        if found := cells.floats(field):
            values, known = found[0], found[1] & (np.abs(found[0]) < _MAX_SCALED / scale)
            earlier, has = numbers[column]
            new = np.rint(np.where(known, values, 0.0) * scale).astype(np.int64)
            numbers[column] = np.where(has, earlier, new), has | known
    cost, reported = numbers["reported_pusd"]
    no_usage = ~numbers["input_tokens"][1] & ~numbers["output_tokens"][1]
    numbers["reported_pusd"] = cost, reported & ~((cost == 0) & no_usage)  # a cost of nothing for an unknown usage
    return {c: numbers[c] for c in NUMBER_COLUMNS}, counted.flags


def _unless_redacted(places: Codes, rows: Rows, dialect: Dialects, tables: Tables) -> Codes:
    """Attribute rows of a content field without those whose text only says that the content was withheld."""
    present = np.flatnonzero(places >= 0)
    sizes = {len(text.encode()) for d in tables.dialects for text in d.redacted}
    short = present[np.isin(rows.length[places[present]], list(sizes))].astype(np.int32)
    if not len(short):
        return places
    texts = rows.attributes.texts(places[short])
    said = zip(texts.codes.tolist(), dialect[short].tolist(), strict=True)
    withheld = [c >= 0 and texts.values[c] in tables.dialects[d].redacted for c, d in said]
    return np.where(np.isin(np.arange(len(places)), short[withheld]), -1, places).astype(np.int32)


def _cache_hits(texts: TextColumns, kind: Small, numbers: usage.Numbers) -> Bools:
    """Model calls that a cache of whole responses answered. One that read cached tokens was billed: some emitters say
    hit of a prompt cache as well."""
    codes = texts.columns["cache_hit"]
    hits = [c for c in np.unique(codes[codes >= 0]).tolist() if texts.values[c].lower() in _HITS]
    cached, known = numbers["cache_read_tokens"]
    found: Bools = np.isin(codes, hits) & (kind == _LLM_CALL) & ~(known & (cached > 0))
    return found


def _flags(spans: SpanColumns, cells: Cells, texts: TextColumns, kind: Small, numbers: usage.Numbers) -> Ints:
    used = numbers["input_tokens"][1] | numbers["output_tokens"][1]
    own = np.array([scope_of(s)[0] == SELF_CHECK_SCOPE for s in spans.scopes], np.bool_)
    bits: list[tuple[Flag, Bools]] = [
        (Flag.AGGREGATE, used & (kind != _LLM_CALL)),
        (Flag.REMOTE_PARENT, spans.remote_parent),
        (Flag.CLOCK_BACKWARDS, spans.backwards),
        (Flag.ATTRIBUTES_DROPPED, spans.attributes_dropped),
        (Flag.SELF_CHECK, own[spans.scope]),
    ]
    if "cache_hit" in texts.columns:
        bits.append((Flag.CACHE_HIT, _cache_hits(texts, kind, numbers)))
    if share := cells.floats("sampled_share"):
        bits.append((Flag.SAMPLED, share[1] & (share[0] != 1.0)))
    flags = np.zeros(len(spans), np.int64)
    for flag, mask in bits:
        flags[mask] |= int(flag)
    return flags


def _sources(spans: SpanColumns, tables: Tables) -> Combos:
    codes, first = combine([spans.resource, spans.scope])
    pairs = zip(spans.resource[first].tolist(), spans.scope[first].tolist(), strict=True)
    return Combos(codes, [source_row(spans.resources[r], spans.scopes[s], tables) for r, s in pairs])


def _dropped(spans: SpanColumns, rows: Rows, used: Bools) -> Counter[str]:
    """How often a key's value is neither mapped nor kept; one that is read only in part counts too."""
    attributes = spans.attributes
    dropped = rows.filled[: len(attributes)] & ~used
    counts = np.bincount(attributes.key[dropped], minlength=len(attributes.keys))
    found: Counter[str] = Counter()
    for code in np.flatnonzero(counts).tolist():
        found[_INDEX.sub("N", attributes.keys[code])[:_MAX_KEY]] += int(counts[code])
    return found
