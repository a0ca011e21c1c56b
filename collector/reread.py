"""What stored spans become when other dialect tables read them: columns in, columns out."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector.dialects.normalised import FACET_COLUMNS, NUMBER_COLUMNS, Row
from collector.dialects.recognition import combine
from collector.dialects.stored import Clue, Origin, Reader, is_unknown
from collector.dialects.tables import BASE
from collector.prepare import clean_facet
from collector.semconv import KINDS, TOKENS, Flag

Ints = npt.NDArray[np.int64]

# Sizes of contents are measured where the contents came, so they are left alone.
NUMBERS = tuple(c for c in NUMBER_COLUMNS if c not in ("args_bytes", "result_bytes"))
ROWS = pa.schema([("place", pa.int64()), *((c, pa.int64()) for c in ("facet", "flags", *NUMBERS))])

_PARTS = ("cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
_USAGE_FLAGS = int(Flag.USAGE_ABSURD | Flag.USAGE_ASSUMED | Flag.AGGREGATE)
_KIND, _DIALECT = FACET_COLUMNS.index("kind"), FACET_COLUMNS.index("dialect")


@dataclass
class Known:
    """Descriptions met so far. facets: by id. ids: ids by description. fresh: those to be written. origins: by source.
    next_id: of the next new description; they are counted downwards from -1."""

    facets: dict[int, Row] = field(default_factory=dict)
    ids: dict[Row, int] = field(default_factory=dict)
    fresh: list[tuple[int, Row]] = field(default_factory=list)
    origins: dict[int, Origin] = field(default_factory=dict)
    next_id: int = -1


def reread(rows: pa.Table, reader: Reader, known: Known) -> tuple[pa.Table, int]:
    """The rows of ROWS of spans that become something else, and how many are bare.

    Each distinct combination of facet, source and clues (where there are clues, of tokens too) is read once.
    """
    old = {name: rows[name].to_numpy() for name in ("place", "facet", "source", "flags", *NUMBERS)}
    clues, clue = _clues(rows["attributes"], reader)
    has = clue > 0
    # Totals that hold their parts already, and usage that was not believed, are not read again.
    settled = np.any([old[name] > 0 for name in _PARTS], axis=0) | (old["flags"] & int(Flag.USAGE_ABSURD) > 0)
    counts = has & ~settled
    tokens = {name: np.where(counts, old[name], -1) for name in TOKENS}
    facet_ids, facet = np.unique(old["facet"], return_inverse=True)
    source_ids, source = np.unique(old["source"], return_inverse=True)
    codes, first = combine([facet, source, clue, *tokens.values()])  # type: ignore[list-item]
    read = reader.read(
        [known.facets[i] for i in facet_ids.tolist()],
        facet[first].astype(np.int32),
        [known.origins[i] for i in source_ids.tolist()],
        source[first].astype(np.int32),
        clues,
        clue[first].astype(np.int32),
        {name: values[first] for name, values in tokens.items()},
    )
    new = dict(old)
    new["facet"] = _facets(old["facet"][first], read.facet.codes, read.facet.rows, known)[codes]
    for name in NUMBERS:
        values, is_known = read.numbers[name]
        top = np.iinfo(np.int64 if name in ("reported_pusd", "first_token_ns") else np.int32).max
        told = np.where(is_known, values, -1).clip(-1, top)[codes]
        new[name] = np.where(is_known[codes] & (counts if name in TOKENS else has), told, old[name])
    new["flags"] = _flags(old, new, np.where(counts, read.flags[codes], -1), known)
    differs = np.any([new[name] != old[name] for name in ("facet", "flags", *NUMBERS)], axis=0)
    bare = np.array([is_unknown(known.facets[i]) for i in facet_ids.tolist()], np.bool_)[facet] & ~has & ~differs
    at = np.flatnonzero(differs)
    return pa.table({name: pa.array(new[name][at], pa.int64()) for name in ROWS.names}), int(bare.sum())


def _clues(attributes: pa.ChunkedArray, reader: Reader) -> tuple[list[tuple[Clue, ...]], npt.NDArray[np.int64]]:
    """Distinct clues, the first of them none, and which each span has."""
    encoded = attributes.combine_chunks().dictionary_encode()
    found: dict[tuple[Clue, ...], int] = {(): 0}
    per_text = [found.setdefault(reader.clues(text), len(found)) for text in encoded.dictionary.to_pylist()]
    return list(found), np.array([*per_text, 0], np.int64)[encoded.indices.fill_null(len(per_text)).to_numpy()]


def _facets(ids: Ints, codes: npt.NDArray[np.int32], rows: list[Row], known: Known) -> Ints:
    """The facet of each combination: the one it has where it says the same, else a new one. A dialect that no table
    tells of any more is not read worse than it was."""
    pairs, first = combine([ids, codes])  # type: ignore[list-item]
    found = []
    for old, code in zip(ids[first].tolist(), codes[first].tolist(), strict=True):
        row = clean_facet(rows[code], Counter())
        before = known.facets[old]
        if row == before or row[_DIALECT] == BASE != before[_DIALECT]:
            found.append(old)
            continue
        if row not in known.ids:
            known.ids[row], known.facets[known.next_id] = known.next_id, row
            known.fresh.append((known.next_id, row))
            known.next_id -= 1
        found.append(known.ids[row])
    return np.array(found, np.int64)[pairs]


def _flags(old: dict[str, Any], new: dict[str, Any], read: Ints, known: Known) -> Ints:
    """Flags of the usage: as `read`, or where that is -1 whether it is an aggregate now that the kind is another."""
    ids, at = np.unique(np.concatenate([old["facet"], new["facet"]]), return_inverse=True)
    kind = np.array([KINDS.index(known.facets[i][_KIND]) for i in ids.tolist()])[at]
    was, now = kind[: len(read)], kind[len(read) :]
    used = (new["input_tokens"] >= 0) | (new["output_tokens"] >= 0)
    aggregate = np.where(used & (now != KINDS.index("llm.call")), int(Flag.AGGREGATE), 0)
    judged = np.where(was != now, old["flags"] & ~int(Flag.AGGREGATE) | aggregate, old["flags"])
    flags: Ints = np.where(read >= 0, old["flags"] & ~_USAGE_FLAGS | read & _USAGE_FLAGS, judged)
    return flags
