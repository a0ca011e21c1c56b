"""Remapping: stored spans read again with other dialect tables. Shown first, applied at once, audited, reversible.

Only what was kept can be read again: names, scopes and services, allow-listed attributes and clues. New descriptions
get numbers below zero, for ingest counts its own upwards and both may write at the same time. Who computes from
spans finds the traces that changed in `remapped_traces`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from collector.dialects.normalised import FACET_COLUMNS, IDENTITY_COLUMNS
from collector.dialects.stored import Reader
from collector.dialects.tables import Tables
from collector.reread import CHANGING, NUMBERS, ROWS, Known, Sender, reread
from collector.semconv import Flag
from collector.store import Cursor, Store, insert

CHUNK_ROWS = 200_000
MOST_TEXTS = 1000  # of a field of identities, told one by one
KEEP_NS = 90 * 86_400 * 10**9  # a remap can be taken back for so long

Progress = Callable[[int, int], None]

_DIALECT = FACET_COLUMNS.index("dialect")


class RemapError(ValueError):
    """A remap cannot be taken back; the text says why and what to do."""


@dataclass(frozen=True)
class Change:
    """A difference of the spans of one dialect: texts `old` and `new` of a field, or the sums of a number.

    None: unknown. Money is in 10^-12 USD.
    """

    dialect: str
    field: str
    spans: int
    old: str | int | None
    new: str | int | None


@dataclass(frozen=True)
class Remapped:
    """What a remap changes, or would change if `remap` is None.

    spans: those looked at. bare_spans: those of a kind that no rule knew and of which nothing was kept that a table
    reads: whatever their attributes said is gone. omitted: changes of identities beyond `changes`, of the fewest spans.
    """

    remap: int | None
    tables_version: str
    spans: int
    changed_spans: int
    bare_spans: int
    changes: list[Change]
    omitted: int = 0


def preview(
    store: Store, tables: Tables, from_ns: int, to_ns: int, progress: Progress = lambda done, of: None
) -> Remapped:
    """What `remap` would change. Writes nothing."""
    with store.cursor() as c:
        c.begin()
        try:
            spans, bare = _read_again(c, tables, from_ns, to_ns, progress)
            return _summed(c, None, tables.version, spans, bare)
        finally:
            c.rollback()


def remap(
    store: Store,
    tables: Tables,
    from_ns: int,
    to_ns: int,
    *,
    actor: str,
    now_ns: int,
    progress: Progress = lambda done, of: None,
) -> Remapped:
    """Read the spans that start in [from_ns, to_ns) again with `tables`, all or nothing, with an audit row.

    Nothing may delete spans meanwhile. `progress` is told how many rows of how many are done.
    """
    with store.transaction() as c:
        spans, bare = _read_again(c, tables, from_ns, to_ns, progress)
        number = _next_number(c)
        result = _summed(c, number, tables.version, spans, bare)
        c.execute(_KEEP, [number])
        _apply(c, number)
        _audit(c, result, from_ns, to_ns, actor, now_ns, undoes=None)
        for table in ("remap_changes", "remapped_traces"):
            c.execute(f"DELETE FROM {table} WHERE remap IN ({_OLD})", [now_ns - KEEP_NS])
    return result


def undo(store: Store, number: int, *, actor: str, now_ns: int) -> Remapped:
    """Take a remap back: its spans are again what they were, where nothing has changed them since.

    The tables in force stay. Raises RemapError for a remap that is unknown, taken back already, or too old.
    """
    with store.transaction() as c:
        asked = _rows(c, "SELECT from_ns, to_ns, tables_version, undoes FROM remaps WHERE remap = ?", number)
        if not asked or asked[0][3] is not None:
            raise RemapError(f"{number} is not a remap: list them with remap --list")
        if _rows(c, "SELECT 1 FROM remaps WHERE undoes = ?", number):
            raise RemapError(f"remap {number} was taken back already")
        if not _rows(c, "SELECT 1 FROM remap_changes WHERE remap = ? LIMIT 1", number):
            raise RemapError(f"remap {number} changed no span, or is older than 90 days: nothing can be undone")
        from_ns, to_ns, version, _ = asked[0]
        c.execute(_FIND, [number])
        spans = int(_rows(c, "SELECT count(*) FROM places")[0][0])
        new = _next_number(c)
        result = _summed(c, new, version, spans, 0)
        _apply(c, new)
        c.execute("DELETE FROM remap_changes WHERE remap = ?", [number])
        _audit(c, result, from_ns, to_ns, actor, now_ns, undoes=number)
    return result


_SPANS = f"""
SELECT rowid AS place, facet, identity, source, flags, attributes,
    {", ".join(f"coalesce({c}, -1)::BIGINT AS {c}" for c in NUMBERS)}
FROM span_log
WHERE rowid >= $first AND rowid < $next AND start_ns >= $from_ns AND start_ns < $to_ns
    AND flags & {int(Flag.SELF_CHECK)} = 0
"""
_SPAN = ("start_ns", "span_id", "trace_lo", "trace_hi", "source")
_KEPT = ("facet", "flags", *NUMBERS, "identity")
_KEEP = f"""
INSERT INTO remap_changes BY NAME
SELECT ? AS remap, trace_hi, trace_lo, span_id, source, start_ns, p.facet AS new_facet, p.flags AS new_flags,
    p.identity AS new_identity, {", ".join(f"coalesce(s.{c}, -1) AS {c}" for c in _KEPT)}
FROM span_log s JOIN places p ON s.rowid = p.place
"""
_FIND = f"""
CREATE TEMP TABLE places AS
SELECT s.rowid AS place, coalesce(o.identity, s.identity) AS identity, {", ".join(f"o.{c}" for c in _KEPT[:-1])}
FROM span_log s
JOIN (SELECT new_facet, new_flags, new_identity, {", ".join((*_KEPT, *_SPAN))} FROM remap_changes WHERE remap = ?) o
    ON {" AND ".join(f"s.{c} = o.{c}" for c in _SPAN)} AND s.facet = o.new_facet AND s.flags = o.new_flags
    AND s.identity = coalesce(o.new_identity, s.identity)
"""
_OLD = "SELECT remap FROM remaps WHERE at_ns < ?"
_TRACES = """
INSERT INTO remapped_traces
SELECT (SELECT coalesce(max(place), 0) FROM remapped_traces) + row_number() OVER (ORDER BY batch), ?, trace_hi, trace_lo
FROM (
    SELECT trace_hi, trace_lo, min(batch) AS batch
    FROM span_log s JOIN places p ON s.rowid = p.place
    GROUP BY ALL
)
"""
_PAIRS = """
SELECT s.facet, p.facet, count(*)
FROM places p JOIN span_log s ON s.rowid = p.place
WHERE s.facet <> p.facet
GROUP BY ALL
"""
_IDENTITIES = """
SELECT f.dialect, count(*)::BIGINT AS spans, o."{0}", n."{0}", (count(*) OVER ())::BIGINT AS items
FROM places p
JOIN span_log s ON s.rowid = p.place
JOIN facets f ON f.facet = p.facet
JOIN identities o ON o.identity = s.identity
JOIN identities n ON n.identity = p.identity
WHERE s.identity <> p.identity AND o."{0}" IS DISTINCT FROM n."{0}"
GROUP BY ALL
ORDER BY 2 DESC, 1, 3, 4
LIMIT {1}
"""
_SUMS = f"""
SELECT f.dialect, {", ".join(
    f"count_if({d}), sum(nullif(s.{c}, -1)) FILTER ({d}), sum(nullif(p.{c}, -1)) FILTER ({d})"
    for c in NUMBERS for d in [f"coalesce(s.{c}, -1) <> p.{c}"]
)}
FROM places p JOIN span_log s ON s.rowid = p.place JOIN facets f ON f.facet = p.facet
GROUP BY ALL
"""  # fmt: skip


def _read_again(c: Cursor, tables: Tables, from_ns: int, to_ns: int, progress: Progress) -> tuple[int, int]:
    """Fill the temporary table `places`, and the dictionaries; spans looked at, and the bare ones."""
    reader, senders = Reader(tables), dict[int, Sender]()
    facets, identities = (Known(next_id=_lowest(c, column) - 1) for column in _DICTIONARIES)
    columns = ", ".join(f"{name} BIGINT" for name in ROWS.names)
    c.execute(f"CREATE TEMP TABLE places ({columns})")
    end = int(_rows(c, "SELECT coalesce(max(rowid), -1) + 1 FROM span_log")[0][0])
    spans = bare = 0
    for first in range(0, end, CHUNK_ROWS):
        progress(first, end)
        bounds = {"first": first, "next": first + CHUNK_ROWS, "from_ns": from_ns, "to_ns": to_ns}
        rows = c.sql(_SPANS, params=bounds).to_arrow_table()
        if not len(rows):
            continue
        _learn(c, "facet", facets, np.unique(rows["facet"].to_numpy()).tolist())
        sources = [i for i in np.unique(rows["source"].to_numpy()).tolist() if i not in senders]
        for number, service, scope, *told in _of(c, _SENDERS, sources):
            senders[number] = Sender((service, scope), *told)
        recall = partial(_learn, c, "identity", identities)
        changed, bare_here = reread(rows, reader, facets, identities, senders, recall)
        spans, bare = spans + len(rows), bare + bare_here
        _write(c, "facet", facets)
        _write(c, "identity", identities)
        if len(changed):
            insert(c, "places", changed)
    progress(end, end)
    return spans, bare


_DICTIONARIES = {"facet": ("facets", FACET_COLUMNS), "identity": ("identities", IDENTITY_COLUMNS)}
_SENDERS = "SELECT source, service, scope, ingest_tenant, tenant FROM sources WHERE source"


def _lowest(c: Cursor, column: str) -> int:
    return min(int(_rows(c, f"SELECT coalesce(min({column}), 0) FROM {_DICTIONARIES[column][0]}")[0][0]), 0)


def _learn(c: Cursor, column: str, known: Known, numbers: list[int]) -> None:
    """Descriptions that were not met before."""
    table, names = _DICTIONARIES[column]
    fresh = list({i for i in numbers if i not in known.rows})
    for number, *row in _of(c, f"SELECT {column}, {_quoted(names)} FROM {table} WHERE {column}", fresh):
        known.learn(number, tuple(row))


def _write(c: Cursor, column: str, known: Known) -> None:
    """Descriptions that are new."""
    if known.fresh:
        table, names = _DICTIONARIES[column]
        ids, rows = zip(*known.fresh, strict=True)
        columns = [pa.array(ids, pa.int32()), *(pa.array(texts, pa.string()) for texts in zip(*rows, strict=True))]
        insert(c, table, pa.table(columns, [column, *names]))
        known.fresh = []


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _apply(c: Cursor, number: int) -> None:
    """Give the spans of `places` their new values, column by column where they differ, and tell of their traces."""
    c.execute(_TRACES, [number])
    for name in CHANGING:
        differs = f"coalesce(span_log.{name}, -1) <> p.{name}"
        c.execute(f"UPDATE span_log SET {name} = p.{name} FROM places p WHERE span_log.rowid = p.place AND {differs}")
    c.execute("DROP TABLE places")


def _summed(c: Cursor, number: int | None, version: str, spans: int, bare: int) -> Remapped:
    """What `places` would change, by dialect and field."""
    texts: Counter[tuple[str, str, str | None, str | None]] = Counter()
    pairs = _rows(c, _PAIRS)
    wanted = list({i for before, after, _ in pairs for i in (before, after)})
    facets = {i: row for i, *row in _of(c, f"SELECT facet, {_quoted(FACET_COLUMNS)} FROM facets WHERE facet", wanted)}
    for before, after, count in pairs:
        dialect = facets[after][_DIALECT]
        for name, old, new in zip(FACET_COLUMNS, facets[before], facets[after], strict=True):
            if old != new:
                texts[dialect, name, old, new] += count
    changes = [Change(dialect, name, count, old, new) for (dialect, name, old, new), count in texts.items()]
    omitted = 0
    for name in IDENTITY_COLUMNS:
        found = _rows(c, _IDENTITIES.format(name, MOST_TEXTS))
        changes += [Change(dialect, name, count, old, new) for dialect, count, old, new, _ in found]
        omitted += found[0][-1] - len(found) if found else 0
    for dialect, *sums in _rows(c, _SUMS):
        for name, (count, old, new) in zip(NUMBERS, zip(*[iter(sums)] * 3, strict=True), strict=True):
            if count:
                changes.append(Change(dialect, name, int(count), _number(old), _number(new)))
    order = {name: i for i, name in enumerate((*FACET_COLUMNS, *IDENTITY_COLUMNS, *NUMBERS))}
    changes.sort(key=lambda d: (d.dialect, order[d.field], -d.spans, str(d.old), str(d.new)))
    changed = int(_rows(c, "SELECT count(*) FROM places")[0][0])
    return Remapped(number, version, spans, changed, bare, changes, omitted)


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def _rows(c: Cursor, sql: str, *values: object) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = c.execute(sql, list(values)).fetchall()
    return found


def _of(c: Cursor, sql: str, numbers: list[int]) -> list[tuple[Any, ...]]:
    """The rows whose number, which `sql` ends with, is one of these."""
    return _rows(c, f"{sql} IN (SELECT unnest(?))", numbers) if numbers else []


def _next_number(c: Cursor) -> int:
    return int(_rows(c, "SELECT coalesce(max(remap), 0) + 1 FROM remaps")[0][0])


def _audit(c: Cursor, done: Remapped, from_ns: int, to_ns: int, actor: str, now_ns: int, *, undoes: int | None) -> None:
    values = [done.remap, undoes, now_ns, actor, from_ns, to_ns, done.tables_version, done.spans, done.changed_spans]
    c.execute("INSERT INTO remaps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
