"""Stored spans as the engine can read them once more: what is known of them comes in as attributes of its own kind.

Whatever a table reads from attributes that were kept beats what is stored; what nothing tells anew stays. A rule of the
kind is believed as far as the attributes that it needs were kept: the first rule that reads one, and all of them where
no rule had known the kind. So tables that have not changed change nothing.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from collector.dialects.engine import normalise
from collector.dialects.lookup import Lookup
from collector.dialects.normalised import FACET_COLUMNS, Normalised, Row
from collector.dialects.tables import Dialect, KindRule, Source, Tables, glob
from collector.otlp.attributes import BOOL, DOUBLE, INT, STRING, Attributes, Codes, Ints, Texts
from collector.otlp.columns import SpanColumns
from collector.otlp.wire import MESSAGES
from collector.semconv import KINDS, TOKENS

Value = str | int | float | bool
Clue = tuple[str, Value]
Origin = tuple[str, str]  # service, scope

# Texts that come in again, as sources of the fields of the same name.
_TEXTS = (*FACET_COLUMNS[FACET_COLUMNS.index("error_type") :], "stated_status")
_KEYS = {field: f"stored:{i}" for i, field in enumerate((*_TEXTS, *TOKENS))}  # no table's glob means these
_KIND = "stored:kind"
_DIALECT = "stored:dialect"
_SPAN_KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_STATUS_ERROR = 2
_COLUMN_OF = {str: 0, int: 1, float: 2, bool: 3}
_VALUES = pa.struct(
    [
        ("string_value", pa.binary()),
        ("int_value", pa.int64()),
        ("double_value", pa.float64()),
        ("bool_value", pa.bool_()),
    ]
)
_TYPES = (STRING, INT, DOUBLE, BOOL)


class Reader:
    """Reads stored spans with `tables`."""

    def __init__(self, tables: Tables) -> None:
        self.tables = replace(tables, dialects=tuple(map(_with_stored, tables.dialects)))
        self._lookup = Lookup(tables)
        self._known: dict[str, bool] = {}

    def clues(self, attributes: str) -> tuple[Clue, ...]:
        """What of a span's kept attributes, a JSON object, some table reads."""
        found = []
        for key, value in orjson.loads(attributes).items():
            if value is not None and self._reads(key):
                is_plain = isinstance(value, str | int | float | bool) and not (type(value) is int and value >= 2**63)
                found.append((key, value if is_plain else orjson.dumps(value).decode()))
        return tuple(found)

    def read(
        self,
        facets: Sequence[Row],
        facet: Codes,
        origins: Sequence[Origin],
        origin: Codes,
        clues: Sequence[tuple[Clue, ...]],
        clue: Codes,
        tokens: dict[str, Ints],
    ) -> Normalised:
        """Spans of these facets (rows of FACET_COLUMNS), origins and clues, one each; `tokens` by name, -1 for none."""
        keys: dict[str, int] = {}
        told: list[list[tuple[int, Value]]] = [
            [(keys.setdefault(k, len(keys)), v) for k, v in _told(row)] for row in facets
        ]
        told += [[(keys.setdefault(k, len(keys)), v) for k, v in found] for found in clues]
        owner, key, values = _spread(told, [facet, clue + np.int32(len(facets))])
        for name in TOKENS:
            at = np.flatnonzero(tokens[name] >= 0).astype(np.int32)
            if len(at):
                owner = np.concatenate([owner, at])
                key = np.concatenate([key, np.full(len(at), keys.setdefault(_KEYS[name], len(keys)), np.int32)])
                values.append(_structs([None, pa.array(tokens[name][at]), None, None], len(at)))
        struct = pa.concat_arrays(values) if values else pa.array([], _VALUES)
        types = np.zeros(len(owner), np.uint8)
        for kind, name in zip(_TYPES, _VALUES.names, strict=True):
            types[struct.field(name).is_valid().to_numpy(zero_copy_only=False)] = kind
        attributes = Attributes(owner, key, list(keys), types, struct)
        return normalise(_spans(facets, facet, origins, origin, attributes), self.tables)

    def _reads(self, key: str) -> bool:
        if key not in self._known:
            number = self._lookup.ids([key])[0]
            filled = bool((self._lookup.targets[:, number] >= 0).any())
            marks = bool(self._lookup.recognises[number] < self._lookup.unrecognised)
            self._known[key] = (filled or marks) and not key.startswith("stored:")
        return self._known[key]


def _with_stored(dialect: Dialect) -> Dialect:
    """The table with what is stored as the last source of each field, and as the rule of the kind that comes after the
    first one that reads an attribute."""
    first = next((i for i, rule in enumerate(dialect.kinds, 1) if rule.source), len(dialect.kinds))
    exact = KindRule(Source(_KIND), values=tuple((glob(kind), kind) for kind in KINDS))
    assumed = [KindRule(Source(f"{_KIND}:{kind}"), present=kind) for kind in KINDS]
    mark = f"{_DIALECT}:{dialect.name}"
    return replace(
        dialect,
        recognise=dialect.recognise | {"attributes": (*dialect.recognise["attributes"], mark)},
        kinds=(*dialect.kinds[:first], exact, *assumed, *dialect.kinds[first:]),
        fields=dialect.fields | {f: (*dialect.fields.get(f, ()), Source(key)) for f, key in _KEYS.items()},
    )


def is_unknown(row: Row) -> bool:
    """Whether no rule knew the kind of the spans of a facet."""
    facet = dict(zip(FACET_COLUMNS, row, strict=True))
    return facet["mapping"] == "none" or (facet["mapping"], facet["kind"]) == ("assumed", "other")


def _told(row: Row) -> list[tuple[str, str]]:
    """What a facet tells, as attributes."""
    facet = dict(zip(FACET_COLUMNS, row, strict=True))
    facet |= {"decision": facet["decision_raw"] or facet["decision"], "stated_status": facet["status"]}
    told = [(_KEYS[f], value) for f in _TEXTS if (value := facet[f])]
    told.append((f"{_DIALECT}:{facet['dialect']}", "x"))
    if not is_unknown(row):
        kind = facet["kind"] or ""
        told.append((_KIND, kind) if facet["mapping"] == "exact" else (f"{_KIND}:{kind}", "x"))
    return told


def _spread(
    told: Sequence[Sequence[tuple[int, Value]]], codes: Sequence[Codes]
) -> tuple[Codes, Codes, list[pa.StructArray]]:
    """Owner, key and value of every attribute of spans that have the attributes of several entries of `told` each."""
    columns: list[list[Value | None]] = [[], [], [], []]
    for value in (v for entry in told for _, v in entry):
        for place, column in enumerate(columns):
            is_here = place == _COLUMN_OF[type(value)]
            column.append((value.encode() if isinstance(value, str) else value) if is_here else None)  # type: ignore[arg-type]
    pool = _structs([pa.array(c, t.type) for c, t in zip(columns, _VALUES, strict=True)], len(columns[0]))
    pool_key = np.array([key for entry in told for key, _ in entry], np.int32)
    sizes = np.array([len(entry) for entry in told], np.int64)
    begins = np.cumsum(sizes) - sizes
    owners, rows = [], []
    for code in codes:
        count = sizes[code]
        owners.append(np.repeat(np.arange(len(code), dtype=np.int32), count))
        inside = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        rows.append(np.repeat(begins[code], count) + inside)
    at = np.concatenate(rows)
    return np.concatenate(owners), pool_key[at], [pool.take(pa.array(at))]


def _structs(columns: Sequence[pa.Array | None], n: int) -> pa.StructArray:
    filled = [pa.nulls(n, f.type) if c is None else c.cast(f.type) for c, f in zip(columns, _VALUES, strict=True)]
    return pa.StructArray.from_arrays(filled, _VALUES.names)


def _spans(
    facets: Sequence[Row], facet: Codes, origins: Sequence[Origin], origin: Codes, attributes: Attributes
) -> SpanColumns:
    n = len(facet)
    at = {name: FACET_COLUMNS.index(name) for name in ("name", "span_kind", "status")}
    kinds = np.array([_SPAN_KINDS.get(row[at["span_kind"]] or "", 0) for row in facets], np.int32)
    codes = np.array([_STATUS_ERROR if row[at["status"]] == "error" else 0 for row in facets], np.int32)
    no, zero = np.zeros(n, np.bool_), np.zeros(n, np.uint64)
    none: npt.NDArray[np.int64] = np.zeros(n, np.int64)
    return SpanColumns(
        requests=1,
        request=np.zeros(n, np.int32),
        trace_hi=zero,
        trace_lo=zero,
        span_id=zero,
        parent_id=zero,
        rejected=np.zeros(n, np.uint8),
        start_ns=none,
        duration_ns=none,
        backwards=no,
        remote_parent=no,
        attributes_dropped=no,
        name=Texts(facet, [row[at["name"]] or "" for row in facets]),
        span_kind=kinds[facet],
        status_code=codes[facet],
        status_message=Texts(np.full(n, -1, np.int32), []),
        resource=origin,
        resources=[_resource(service) for service, _ in origins],
        scope=origin,
        scopes=[MESSAGES["Scope"](name=scope.encode()).SerializeToString() for _, scope in origins],
        attributes=attributes,
    )


def _resource(service: str) -> bytes:
    message = MESSAGES["Attributed"]()
    pair = message.attributes.add(key=b"service.name")
    pair.value.string_value = service.encode()
    return bytes(message.SerializeToString())
