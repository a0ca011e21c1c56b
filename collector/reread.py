"""What stored spans become when other dialect tables read them: columns in, columns out."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector import scrub
from collector.dialects.normalised import FACET_COLUMNS, IDENTITY_COLUMNS, NUMBER_COLUMNS, Row
from collector.dialects.recognition import combine
from collector.dialects.stored import Clue, Origin, Reader, is_unknown
from collector.dialects.tables import BASE
from collector.prepare import clean_facet
from collector.semconv import KINDS, TOKENS, Flag

Ints = npt.NDArray[np.int64]
Recall = Callable[[list[int]], None]

# Sizes of contents are measured where the contents came, so they are left alone.
NUMBERS = tuple(c for c in NUMBER_COLUMNS if c not in ("args_bytes", "result_bytes"))
CHANGING = ("facet", "identity", "flags", *NUMBERS)
ROWS = pa.schema([("place", pa.int64()), *((c, pa.int64()) for c in CHANGING)])

_PARTS = ("cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
_USAGE_FLAGS = int(Flag.USAGE_ABSURD | Flag.USAGE_ASSUMED | Flag.AGGREGATE)
_TENANT = IDENTITY_COLUMNS.index("tenant")
_KIND, _DIALECT = FACET_COLUMNS.index("kind"), FACET_COLUMNS.index("dialect")


@dataclass
class Known:
    """Descriptions of one dictionary met so far. rows: by id. ids: ids by description. fresh: those to be written.
    next_id: of the next new description; they are counted downwards from -1."""

    rows: dict[int, Row] = field(default_factory=dict)
    ids: dict[Row, int] = field(default_factory=dict)
    fresh: list[tuple[int, Row]] = field(default_factory=list)
    next_id: int = -1

    def learn(self, number: int, row: Row) -> None:
        """A description that is stored."""
        self.rows[number] = row
        self.ids.setdefault(row, number)

    def id_of(self, row: Row) -> int:
        """The id of a description, a new one if it has none."""
        if row not in self.ids:
            self.ids[row], self.rows[self.next_id] = self.next_id, row
            self.fresh.append((self.next_id, row))
            self.next_id -= 1
        return self.ids[row]


@dataclass(frozen=True)
class Sender:
    """What a source tells of a span: service and scope, the credential's tenant, the tenant that the resource names."""

    origin: Origin
    ingest_tenant: str | None
    tenant: str | None


def reread(
    rows: pa.Table, reader: Reader, facets: Known, identities: Known, senders: Mapping[int, Sender], recall: Recall
) -> tuple[pa.Table, int]:
    """The rows of ROWS of spans that become something else, and how many are bare.

    Each distinct combination of facet, source and clues (where there are clues, of tokens too) is read once. `recall`
    lets `identities` learn those that are needed; few are.
    """
    old = {name: rows[name].to_numpy() for name in ("place", "source", *CHANGING)}
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
        [facets.rows[i] for i in facet_ids.tolist()],
        facet[first].astype(np.int32),
        [senders[i].origin for i in source_ids.tolist()],
        source[first].astype(np.int32),
        clues,
        clue[first].astype(np.int32),
        {name: values[first] for name, values in tokens.items()},
    )
    new = dict(old)
    new["facet"] = _facets(old["facet"][first], read.facet.codes, read.facet.rows, facets)[codes]
    told = read.identity.codes[codes]
    new["identity"] = _identities(old["identity"], told, read.identity.rows, identities, recall)
    for name in NUMBERS:
        values, is_known = read.numbers[name]
        top = np.iinfo(np.int64 if name in ("reported_pusd", "first_token_ns") else np.int32).max
        told = np.where(is_known, values, -1).clip(-1, top)[codes]
        new[name] = np.where(is_known[codes] & (counts if name in TOKENS else has), told, old[name])
    new["flags"] = _flags(old, new, np.where(counts, read.flags[codes], -1), facets)
    new["flags"] = _foreign(new["flags"], old, new["identity"], identities, senders)
    differs = np.any([new[name] != old[name] for name in CHANGING], axis=0)
    bare = np.array([is_unknown(facets.rows[i]) for i in facet_ids.tolist()], np.bool_)[facet] & ~has & ~differs
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
        before = known.rows[old]
        stays = row == before or row[_DIALECT] == BASE != before[_DIALECT]
        found.append(old if stays else known.id_of(row))
    return np.array(found, np.int64)[pairs]


def _identities(ids: Ints, codes: npt.NDArray[np.int32], rows: list[Row], known: Known, recall: Recall) -> Ints:
    """The identity of each span: what its kept attributes tell, and what is stored where they tell nothing."""
    cleaned = [tuple(None if v is None else scrub.name(v, Counter()) for v in row) for row in rows]
    at = np.flatnonzero(np.array([any(row) for row in cleaned], np.bool_)[codes])
    if not len(at):
        return ids
    pairs, first = combine([ids[at], codes[at]])  # type: ignore[list-item]
    olds = ids[at][first].tolist()
    recall(olds)
    found = []
    for old, code in zip(olds, codes[at][first].tolist(), strict=True):
        before = known.rows[old]
        row = tuple(new or stored for new, stored in zip(cleaned[code], before, strict=True))
        found.append(old if row == before else known.id_of(row))
    new = ids.copy()
    new[at] = np.array(found, np.int64)[pairs]
    return new


def _foreign(flags: Ints, old: dict[str, Any], identity: Ints, known: Known, senders: Mapping[int, Sender]) -> Ints:
    """The flags, where the identity is another now, of spans that claim another tenant than their credential's."""
    at = np.flatnonzero(identity != old["identity"])
    if not len(at):
        return flags
    pairs, first = combine([identity[at], old["source"][at]])  # type: ignore[list-item]
    found = []
    for number, source in zip(identity[at][first].tolist(), old["source"][at][first].tolist(), strict=True):
        sender = senders[source]
        claimed = {known.rows[number][_TENANT], sender.tenant} - {None, sender.ingest_tenant}
        found.append(sender.ingest_tenant is not None and bool(claimed))
    judged = flags.copy()
    foreign = np.array(found, np.bool_)[pairs]
    judged[at] = np.where(foreign, flags[at] | int(Flag.FOREIGN_TENANT), flags[at] & ~int(Flag.FOREIGN_TENANT))
    return judged


def _flags(old: dict[str, Any], new: dict[str, Any], read: Ints, known: Known) -> Ints:
    """Flags of the usage: as `read`, or where that is -1 whether it is an aggregate now that the kind is another."""
    ids, at = np.unique(np.concatenate([old["facet"], new["facet"]]), return_inverse=True)
    kind = np.array([KINDS.index(known.rows[i][_KIND]) for i in ids.tolist()])[at]
    was, now = kind[: len(read)], kind[len(read) :]
    used = (new["input_tokens"] >= 0) | (new["output_tokens"] >= 0)
    aggregate = np.where(used & (now != KINDS.index("llm.call")), int(Flag.AGGREGATE), 0)
    judged = np.where(was != now, old["flags"] & ~int(Flag.AGGREGATE) | aggregate, old["flags"])
    flags: Ints = np.where(read >= 0, old["flags"] & ~_USAGE_FLAGS | read & _USAGE_FLAGS, judged)
    return flags
