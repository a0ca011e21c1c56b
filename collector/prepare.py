"""Requests to rows: decode, normalise, protect, intern. Everything a commit needs, and nothing of the store."""

import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector import scrub
from collector.backlog import Item
from collector.dedup import Verdict
from collector.dialects.engine import TABLES, normalise
from collector.dialects.events import spans_of_logs
from collector.dialects.message_parts import tool_parts
from collector.dialects.meters import Point, points_of_metrics
from collector.dialects.normalised import (
    FACET_COLUMNS,
    IDENTITY_COLUMNS,
    NUMBER_COLUMNS,
    SOURCE_COLUMNS,
    Combos,
    Normalised,
)
from collector.dialects.tables import Tables
from collector.dimensions import Dictionary, Row
from collector.otlp.columns import REJECTIONS, SpanColumns, decode
from collector.privacy import Hasher, Protected, protect
from collector.semconv import Flag
from collector.store import Cursor

LATE_AFTER_NS = 5 * 60 * 10**9
AHEAD_NS = 3600 * 10**9
EARLIEST_NS = 946_684_800 * 10**9  # 2000-01-01: an earlier start is a broken clock, not history

TOO_OLD = REJECTIONS.index("too_old")

_BIGINT = frozenset({"reported_pusd", "first_token_ns"})

# Labels that are words of ours or numbers: nothing to scrub.
_PLAIN = frozenset({"kind", "dialect", "mapping", "span_kind", "status", "error_reason", "http_status", "decision"})
_SCRUBBED_FACETS = tuple(i for i, c in enumerate(FACET_COLUMNS) if c not in _PLAIN)


@dataclass
class Prepared:
    """A group of requests, ready to be committed.

    spans: the columns of `spans` but `batch`, one row a valid or rejected span. request: which item a span came in.
    tenant: code of the ingest tenant of each span, index into `tenants`. metric_points: (request, point, hash of its
    series). others: (request, outcome, reason) -> log records and data points that are no rows.
    """

    items: list[Item]
    epoch: int
    spans: pa.Table
    request: npt.NDArray[np.int32]
    rejected: npt.NDArray[np.uint8]
    tenant: npt.NDArray[np.int32]
    tenants: list[str | None]
    dictionaries: list[tuple[str, pa.Table]]
    tool_parts: pa.Table
    metric_points: list[tuple[int, Point, int]]
    others: Counter[tuple[int, str, str]]
    repairs: Counter[tuple[int, str]]
    scrubbed: Counter[str]
    dropped_keys: Counter[str]
    valid: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Cut the rejected rows off; `valid` keeps where the others came from."""
        self.valid = np.flatnonzero(self.rejected == 0)
        if len(self.valid) < len(self.rejected):
            self.spans = self.spans.take(pa.array(self.valid))
            self.tenant = self.tenant[self.valid]

    def kept(self, batch: int, verdict: Verdict | None) -> tuple[pa.Table, pa.Table]:
        """The rows to insert into `spans` and `message_tool_calls`."""
        keep = verdict.keep if verdict else np.ones(len(self.spans), np.bool_)
        spans = self.spans if keep.all() else self.spans.filter(pa.array(keep))
        spans = spans.add_column(0, "batch", pa.array(np.full(len(spans), batch, np.int64)))
        parts = self.tool_parts
        if len(parts):
            stored = np.zeros(len(self.rejected), np.bool_)
            stored[self.valid[keep]] = True
            parts = parts.filter(pa.array(stored[parts["row"].to_numpy()]))
            place = np.cumsum(stored)[parts["row"].to_numpy()] - 1
            parts = parts.drop_columns(["row"]).add_column(0, "batch", pa.array(np.full(len(parts), batch, np.int64)))
            for column in ("trace_hi", "trace_lo", "span_id"):
                parts = parts.append_column(column, spans[column].take(pa.array(place)))
        return spans, parts

    def outcomes(self, verdict: Verdict | None) -> list[tuple[int, str, str, int]]:
        """(request, outcome, reason, count) of everything that was not plainly stored."""
        out: list[tuple[int, str, str, int]] = []

        def count(mask_rows: npt.NDArray[np.int64], outcome: str, reason: str) -> None:
            numbers, counts = np.unique(self.request[mask_rows], return_counts=True)
            out.extend(
                (int(n), outcome, reason, int(c)) for n, c in zip(numbers.tolist(), counts.tolist(), strict=True)
            )

        for code in np.unique(self.rejected[self.rejected > 0]).tolist():
            count(np.flatnonzero(self.rejected == code), "rejected", REJECTIONS[code])
        if verdict is not None and not verdict.keep.all():
            count(self.valid[verdict.deduplicated], "deduplicated", "same_content")
            count(self.valid[verdict.conflicting], "conflicting", "first_kept")
        for (request, what), number in self.repairs.items():
            out.append((request, "repaired", what, number))
        out.extend((*what, number) for what, number in self.others.items())
        return out

    def metric_rows(self, batch: int) -> pa.Table:
        """The rows to insert into `metric_points`."""
        rows = [
            point._asdict() | {"batch": batch, "ingest_tenant": self.items[request].credential.tenant, "series": series}
            for request, point, series in self.metric_points
        ]
        return pa.Table.from_pylist(rows, schema=_METRIC_POINTS)

    def events(self, batch: int, verdict: Verdict | None) -> pa.Table | None:
        """Rows for `ingest_events`; None if there is nothing to tell."""
        total: Counter[tuple[str, str | None, str, str]] = Counter()
        for request, outcome, reason, number in self.outcomes(verdict):
            item = self.items[request]
            total[(item.signal, item.credential.tenant, outcome, reason)] += number
        for rule, number in self.scrubbed.items():
            total[("traces", None, "scrubbed", rule)] += number
        if not total:
            return None
        hour = datetime.fromtimestamp(batch // 3_600_000 * 3600, UTC).replace(tzinfo=None)
        names = ("signal", "ingest_tenant", "outcome", "reason")
        columns = dict(zip(names, zip(*total, strict=True), strict=True))
        return pa.table(
            {
                "batch": pa.array([batch] * len(total), pa.int64()),
                "hour": pa.array([hour] * len(total), pa.timestamp("us")),
                **{name: pa.array(values, pa.string()) for name, values in columns.items()},
                "items": pa.array(list(total.values()), pa.int64()),
            }
        )

    def answers(self, verdict: Verdict | None) -> list[tuple[int, str]]:
        """Per request: how many items were rejected, and what its sender should know."""
        rejected = [0] * len(self.items)
        said: list[list[str]] = [[] for _ in self.items]
        for request, outcome, reason, number in self.outcomes(verdict):
            if outcome == "rejected":
                rejected[request] += number
            if outcome in ("rejected", "repaired", "conflicting"):
                said[request].append(f"{number} {outcome}: {_EXPLAINED.get(reason, reason)}")
        return [(r, "; ".join(s[:20])) for r, s in zip(rejected, said, strict=True)]


_EXPLAINED = {
    "bad_trace_id": "trace_id is not 16 bytes",
    "zero_trace_id": "trace_id is all zero",
    "bad_span_id": "span_id is not 8 bytes",
    "zero_span_id": "span_id is all zero",
    "too_old": "start time lies before what retention already deleted",
    "first_kept": "a span with this id and other content is stored already; the first one stays",
    "log_not_understood": "of log records the events of coding agents and messages of model calls (gen_ai.*) are used",
    "log_without_session": "an event that names no session cannot be placed",
    "metric_not_understood": "of metrics only the token and cost counters of coding agents are used, to compare",
}

_METRIC_POINTS = pa.schema(
    [
        ("batch", pa.int64()), ("ingest_tenant", pa.string()), ("service", pa.string()), ("session", pa.string()),
        ("model", pa.string()), ("metric", pa.string()), ("field", pa.string()), ("series", pa.uint64()),
        ("cumulative", pa.bool_()), ("start_ns", pa.int64()), ("end_ns", pa.int64()), ("value", pa.float64()),
    ]
)  # fmt: skip


class Preparer:
    """Turns requests into `Prepared` groups. It owns the dictionaries, so one `prepare` runs at a time.

    `tables` say what the attributes mean; they may be exchanged at any time.

    `epoch` counts how often the dictionaries were read anew: a group of an earlier epoch must not be committed.
    """

    def __init__(self, hasher: Hasher, tables: Tables = TABLES) -> None:
        self._hasher, self.tables = hasher, tables
        self._lock = threading.Lock()
        self._scrubbed: Counter[str] = Counter()
        self._facets = Dictionary("facets", "facet", FACET_COLUMNS, self._clean_facet)
        self._identities = Dictionary("identities", "identity", IDENTITY_COLUMNS, self._clean)
        self._sources = Dictionary("sources", "source", SOURCE_COLUMNS, self._clean)
        self.epoch = 0
        self.horizon_ns = 0

    def load(self, cursor: Cursor) -> None:
        """(Re)read the dictionaries' ids and the retention horizon from the store."""
        with self._lock:
            self.epoch += 1
            for dictionary in (self._facets, self._identities, self._sources):
                dictionary.load(cursor)
            query = "SELECT coalesce(max(value::BIGINT), 0) FROM store_facts WHERE fact = 'horizon_ns'"
            self.horizon_ns = cursor.execute(query).fetchall()[0][0]

    def prepare(self, items: list[Item], now_ns: int) -> Prepared:
        """Decode and normalise the requests together. Raises whatever goes wrong: the caller isolates the culprit."""
        with self._lock:
            self._scrubbed, tables = Counter(), self.tables
            sent, others = _spans_of(items)
            points = self._points(items, others)
            spans = decode(list(sent.values()))
            batch = normalise(spans, tables)
            guarded = protect(batch, tool_parts(batch), self._hasher, tables.reasons)
            numbers = list(sent)
            request = np.array(numbers, np.int32)[spans.request] if numbers else spans.request
            tenants = list(dict.fromkeys(item.credential.tenant for item in items))
            tenant = np.array([tenants.index(item.credential.tenant) for item in items], np.int32)[request]
            logged = np.array([item.signal == "logs" for item in items], np.bool_)[request]
            table = self._table(batch, guarded, tenant, tenants, logged, now_ns)
            rejected = spans.rejected
            if self.horizon_ns:
                rejected = np.where((rejected == 0) & (spans.start_ns < self.horizon_ns), TOO_OLD, rejected)
            dictionaries = [
                (d.table, fresh)
                for d in (self._facets, self._identities, self._sources)
                if (fresh := d.take_fresh()) is not None
            ]
            return Prepared(
                items=items,
                epoch=self.epoch,
                spans=table,
                request=request,
                rejected=rejected.astype(np.uint8),
                tenant=tenant,
                tenants=tenants,
                dictionaries=dictionaries,
                tool_parts=guarded.tool_parts,
                metric_points=points,
                others=others,
                repairs=Counter({(numbers[r], what): n for (r, what), n in spans.repairs.items()}),
                scrubbed=guarded.scrubbed + self._scrubbed,
                dropped_keys=Counter({scrub.name(k, self._scrubbed): n for k, n in batch.dropped_keys.items()}),
            )

    def _table(
        self,
        batch: Normalised,
        guarded: Protected,
        tenant: npt.NDArray[np.int32],
        tenants: list[str | None],
        logged: npt.NDArray[np.bool_],
        now_ns: int,
    ) -> pa.Table:
        spans = batch.spans
        facet = self._facets.ids(batch.facet.rows)[batch.facet.codes]
        identity = self._identities.ids(batch.identity.rows)[batch.identity.codes]
        source, foreign = self._sources_of(batch, tenant, tenants)
        flags = batch.flags | guarded.flags | _time_flags(spans, now_ns) | logged * np.int64(Flag.FROM_LOG)
        flags = np.where(foreign, flags | int(Flag.FOREIGN_TENANT), flags)
        columns: dict[str, pa.Array] = {
            "trace_hi": pa.array(spans.trace_hi),
            "trace_lo": pa.array(spans.trace_lo),
            "span_id": pa.array(spans.span_id),
            "parent_id": pa.array(spans.parent_id),
            "start_ns": pa.array(spans.start_ns),
            "duration_ns": pa.array(spans.duration_ns),
            "facet": pa.array(facet),
            "identity": pa.array(identity),
            "source": pa.array(source),
            "flags": pa.array(flags.astype(np.int32)),
        }
        for name in NUMBER_COLUMNS:
            values, known = batch.numbers[name]
            stored = np.int64 if name in _BIGINT else np.int32
            columns[name] = pa.array(np.where(known, values, -1).clip(-1, np.iinfo(stored).max).astype(stored))
        return pa.table(columns | guarded.columns)

    def _sources_of(
        self, batch: Normalised, tenant: npt.NDArray[np.int32], tenants: list[str | None]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """Source ids, and which spans claim another tenant than their credential's."""
        width = len(tenants)
        pairs, codes = np.unique(batch.source.codes.astype(np.int64) * width + tenant, return_inverse=True)
        rows: list[Row] = [(tenants[p % width], *batch.source.rows[p // width]) for p in pairs.tolist()]
        source = self._sources.ids(rows)[codes] if rows else np.zeros(0, np.int32)
        foreign = np.zeros(len(batch.spans), np.bool_)
        for code, name in enumerate(tenants):
            if name is not None:
                claims = _claimed_tenants(batch.identity, IDENTITY_COLUMNS, name)
                resources = _claimed_tenants(batch.source, SOURCE_COLUMNS[1:], name)
                foreign |= (tenant == code) & (claims[batch.identity.codes] | resources[batch.source.codes])
        return source, foreign

    def _points(self, items: list[Item], others: Counter[tuple[int, str, str]]) -> list[tuple[int, Point, int]]:
        """The data points of the group with the hashes of their series; `others` gains those that are not used."""
        found = []
        for i, item in enumerate(items):
            if item.signal == "metrics":
                points, unused = points_of_metrics(item.body)
                others.update({(i, *what): n for what, n in unused.items()})
                for p in points:
                    texts = self._clean((p.service, p.session, p.model))
                    clean = p._replace(service=texts[0] or "", session=texts[1], model=texts[2])
                    found.append((i, clean, self._hasher.one("series", p.series)))
        return found

    def _clean_facet(self, row: Row) -> Row:
        return clean_facet(row, self._scrubbed)

    def _clean(self, row: Row) -> Row:
        return tuple(None if v is None else scrub.name(v, self._scrubbed) for v in row)


def clean_facet(row: Row, scrubbed: Counter[str]) -> Row:
    """A row of FACET_COLUMNS as it may be stored."""
    cleaned = list(row)
    for i in _SCRUBBED_FACETS:
        if (value := cleaned[i]) is not None:
            cleaned[i] = scrub.name(value, scrubbed)
    return tuple(cleaned)


def _spans_of(items: list[Item]) -> tuple[dict[int, bytes], Counter[tuple[int, str, str]]]:
    """Trace requests by the number of their item, those made of log records included; and what became of the log
    records that are no spans."""
    sent: dict[int, bytes] = {}
    others: Counter[tuple[int, str, str]] = Counter()
    for i, item in enumerate(items):
        if item.signal == "traces":
            sent[i] = item.body
        elif item.signal == "logs":
            converted = spans_of_logs(item.body)
            others.update({(i, *what): n for what, n in converted.others.items()})
            sent[i] = converted.body
    return sent, others


def _claimed_tenants(combos: Combos, columns: tuple[str, ...], tenant: str) -> npt.NDArray[np.bool_]:
    at = columns.index("tenant")
    return np.array([row[at] is not None and row[at] != tenant for row in combos.rows], np.bool_)


def _time_flags(spans: SpanColumns, now_ns: int) -> npt.NDArray[np.int64]:
    late = now_ns - (spans.start_ns + spans.duration_ns) > LATE_AFTER_NS
    absurd = (spans.start_ns < EARLIEST_NS) | (spans.start_ns > now_ns + AHEAD_NS)
    flags: npt.NDArray[np.int64] = late * np.int64(Flag.LATE) + absurd * np.int64(Flag.TIME_ABSURD)
    return flags
