"""Exactly once: which spans of a batch are already stored, and which repeat inside the batch.

A Bloom filter of all stored span ids answers "certainly new" for nearly every span; only the rest is looked
up, first within the batch's own time range (zone maps prune it), then everywhere.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector.store import Cursor

Ids = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

BITS_PER_ID = 32
WORDS_PER_BLOCK = 8  # one cache line
FIRST_CAPACITY = 1 << 19


class IdFilter:
    """Blocked Bloom filter of 64-bit ids that grows by half of what it holds; no false negatives.

    Twelve bits an id in six words of one cache line: about one in 100,000 unknown ids passes at full load, so that a
    batch of 8,192 new spans nearly never has to ask the store.
    """

    def __init__(self, capacity: int = FIRST_CAPACITY) -> None:
        self._segments: list[npt.NDArray[np.uint64]] = []
        self._room = self._capacity = 0
        self._grow(capacity)

    def _grow(self, capacity: int) -> None:
        blocks = max(16, capacity * BITS_PER_ID // (64 * WORDS_PER_BLOCK))
        self._segments.append(np.zeros(blocks * WORDS_PER_BLOCK, np.uint64))
        self._room = blocks * WORDS_PER_BLOCK * 64 // BITS_PER_ID
        self._capacity += self._room

    def nbytes(self) -> int:
        """Memory of the filter."""
        return sum(s.nbytes for s in self._segments)

    def add(self, ids: Ids) -> None:
        """Remember ids."""
        if len(ids) > self._room:
            self._grow(max(self._capacity // 2, len(ids)))
        self._room -= len(ids)
        segment = self._segments[-1]
        for words, masks in _places(ids, len(segment)):
            np.bitwise_or.at(segment, words, masks)

    def maybe(self, ids: Ids) -> Bools:
        """False: certainly never added."""
        found = np.zeros(len(ids), np.bool_)
        for segment in self._segments:
            here = np.ones(len(ids), np.bool_)
            for words, masks in _places(ids, len(segment)):
                here &= (segment[words] & masks) == masks
            found |= here
        return found


def _places(ids: Ids, words: int) -> list[tuple[npt.NDArray[np.int64], Ids]]:
    """Six (word, two-bit mask) pairs of each id in a segment of `words` words."""
    with np.errstate(over="ignore"):
        mixed = ids * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(32)
        mixed *= np.uint64(0xD6E8FEB86659FD93)
        second = mixed * np.uint64(0xA0761D6478BD642F)
    block = ((mixed >> np.uint64(32)) * np.uint64(words // WORDS_PER_BLOCK)) >> np.uint64(32)  # uniform, no modulo
    base = (block * np.uint64(WORDS_PER_BLOCK)).astype(np.int64)
    first_word = (second & np.uint64(7)).astype(np.int64)
    places = []
    for i in range(6):
        bits = (second if i < 5 else mixed) >> np.uint64(4 + 12 * (i % 5))
        mask = (np.uint64(1) << (bits & np.uint64(63))) | (np.uint64(1) << ((bits >> np.uint64(6)) & np.uint64(63)))
        places.append((base + ((first_word + i) & 7), mask))
    return places


@dataclass(frozen=True)
class Verdict:
    """Per span of a batch: keep it; or it repeats a stored or earlier span, with the same content or another."""

    keep: Bools
    deduplicated: Bools
    conflicting: Bools


# What makes two deliveries of one span the same content, beside kind, name and status of its facet.
_COMPARED = (
    "start_ns", "duration_ns", "parent_id", "input_tokens", "output_tokens", "cache_read_tokens", "reported_pusd",
    "args_hash", "result_hash", "subject_hash", "response_hash",
)  # fmt: skip

_STORED = f"""
SELECT m.row,
       {" AND ".join(f"s.{c} IS NOT DISTINCT FROM m.{c}" for c in _COMPARED)}
       AND f.kind = g.kind AND f.name = g.name AND f.status = g.status AS same
FROM maybe m
JOIN span_log s ON s.span_id = m.span_id AND s.trace_lo = m.trace_lo AND s.trace_hi = m.trace_hi
JOIN sources o ON o.source = s.source
JOIN sources p ON p.source = m.source
JOIN facets f ON f.facet = s.facet
JOIN facets g ON g.facet = m.facet
WHERE o.ingest_tenant IS NOT DISTINCT FROM p.ingest_tenant
"""


def judge(cursor: Cursor, known: IdFilter, spans: pa.Table, tenant: npt.NDArray[np.int32]) -> Verdict:
    """Compare a batch with itself and with the store.

    `spans`: rows as they would be inserted; their facets and sources must be visible to `cursor`, and so must
    everything that was committed before. `tenant`: a code of the ingest tenant for each row.
    """
    n = len(spans)
    ids = spans["span_id"].to_numpy()
    first = _first_rows(spans, ids, tenant)
    repeats = np.flatnonzero(first != np.arange(n))
    deduplicated, conflicting = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    if len(repeats):
        columns = [spans[c].to_pylist() for c in (*_COMPARED, "facet")]
        for row, original in zip(repeats.tolist(), first[repeats].tolist(), strict=True):
            same = all(c[row] == c[original] for c in columns)
            (deduplicated if same else conflicting)[row] = True
    candidates = np.flatnonzero(known.maybe(ids) & (first == np.arange(n)))
    if len(candidates):
        start = spans["start_ns"].to_numpy()[candidates]
        stored = _lookup(cursor, spans, candidates, (int(start.min()), int(start.max())))
        if missing := [row for row in candidates.tolist() if row not in stored]:
            stored |= _lookup_anywhere(cursor, spans, np.array(missing))
        for row, same in stored.items():
            (deduplicated if same else conflicting)[row] = True
    return Verdict(~(deduplicated | conflicting), deduplicated, conflicting)


def _first_rows(spans: pa.Table, ids: Ids, tenant: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """For each row the first row with the same identity."""
    rows = np.arange(len(ids))
    _, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
    suspects = np.flatnonzero(counts[inverse] > 1)
    if len(suspects):
        columns = [spans[c].take(pa.array(suspects)).to_pylist() for c in ("trace_hi", "trace_lo", "span_id")]
        seen: dict[tuple[object, ...], int] = {}
        for row, identity in zip(suspects.tolist(), zip(tenant[suspects].tolist(), *columns, strict=True), strict=True):
            rows[row] = seen.setdefault(identity, row)
    return rows


def _lookup_anywhere(cursor: Cursor, spans: pa.Table, rows: npt.NDArray[np.int64]) -> dict[int, bool]:
    """`_lookup` without a time range. Ids alone are read first, for mostly the filter was wrong and none is stored:
    that takes an eighth of the time of the comparison."""
    cursor.register("maybe", spans.select(["span_id"]).take(pa.array(rows)))
    try:
        found = "SELECT min(start_ns), max(start_ns) FROM span_log SEMI JOIN maybe USING (span_id)"
        first_ns, last_ns = cursor.execute(found).fetchall()[0]
    finally:
        cursor.unregister("maybe")
    return {} if first_ns is None else _lookup(cursor, spans, rows, (first_ns, last_ns))


def _lookup(cursor: Cursor, spans: pa.Table, rows: npt.NDArray[np.int64], within: tuple[int, int]) -> dict[int, bool]:
    """Rows whose identity is stored, with a start in this range -> whether the stored content is the same."""
    maybe = spans.select(["trace_hi", "trace_lo", "span_id", "source", "facet", *_COMPARED]).take(pa.array(rows))
    cursor.register("maybe", maybe.append_column("row", pa.array(rows)))
    try:
        return dict(cursor.execute(f"{_STORED} AND s.start_ns BETWEEN {within[0]} AND {within[1]}").fetchall())
    finally:
        cursor.unregister("maybe")
