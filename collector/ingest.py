"""Accept requests, write them in groups, acknowledge after the commit. Transport-free.

Two threads work behind the queue. One prepares (decode, normalise, protect, intern), the other commits. While the
queue is shallow the first waits for the second, so that one commit takes everything that arrived meanwhile; only
a deep queue makes them overlap.
"""

import asyncio
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal

from collector.dedup import IdFilter, judge
from collector.errors import Busy, Refused
from collector.identity import Credential
from collector.otlp import signals, wire
from collector.prepare import Prepared, Preparer
from collector.privacy import Hasher
from collector.store import DatabaseError, Store, insert

Signal = Literal["traces", "metrics", "logs"]
Outcome = "Receipt | Exception"

# One commit takes at most this much; more only adds latency and memory.
MAX_BATCH_BYTES = 4 << 20
# Prepare the next group during a commit only when this much waits.
OVERLAP_BYTES = 1 << 20
# Keys of dropped attributes that are counted by name.
MAX_DROPPED_KEYS = 5_000
SAVE_DROPPED_KEYS_S = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Receipt:
    """The answer to an accepted request: how many items were rejected for good, and what the sender should know.

    Nothing rejected and an empty message is full success; a message alone is a warning.
    """

    rejected: int = 0
    message: str = ""


@dataclass(slots=True)
class Item:
    """One queued request. `rejected` counts items refused whole (a signal that is not used yet)."""

    signal: Signal
    body: bytes
    credential: Credential
    done: "Future[Receipt]"
    rejected: int = 0


@dataclass
class _Queue:
    """Requests that wait, and what the two threads tell each other; guarded by `changed`."""

    items: deque[Item] = field(default_factory=deque)
    bytes: int = 0
    unacknowledged: int = 0
    committing: bool = False
    ready: Prepared | None = None
    closed: bool = False
    prepared_all: bool = False


_UNUSED = {
    "logs": (signals.count_log_records, "log records", "logs are not used yet: export traces"),
    "metrics": (signals.count_data_points, "data points", "metrics are not used yet: export traces"),
}


class Ingest:
    """The way into the store. `accept` returns when the request is durable and queryable."""

    def __init__(
        self, store: Store, key: bytes, *, max_queue_bytes: int = 128 << 20, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._store = store
        self._clock_ns = clock_ns
        self._max_queue_bytes = max_queue_bytes
        self._preparer = Preparer(Hasher(key))
        self._known = IdFilter()
        self._queue = _Queue()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._dropped_keys: Counter[str] = Counter()
        self._saved_keys_at = 0.0
        self.counters: Counter[str] = Counter()
        self.last_batch = 0

    def start(self) -> None:
        """Read what the store holds (ids, dictionaries, horizon) and start the two threads."""
        with self._store.cursor() as c:
            self._preparer.load(c)
            self.last_batch = c.execute(
                "SELECT greatest((SELECT max(batch) FROM span_log), (SELECT max(batch) FROM ingest_events), 0)"
            ).fetchall()[0][0]
            stored = c.execute("SELECT count(*) FROM span_log").fetchall()[0][0]
            self._known = IdFilter(max(stored + stored // 4, 1 << 19))
            for chunk in c.sql("SELECT span_id FROM span_log").to_arrow_reader(1 << 20):
                self._known.add(chunk["span_id"].to_numpy())
            self._dropped_keys.update(dict(c.execute("SELECT key, values_dropped FROM dropped_keys").fetchall()))
        for target in (self._prepare_loop, self._commit_loop):
            thread = threading.Thread(target=target, name=target.__name__.strip("_"), daemon=True)
            thread.start()
            self._threads.append(thread)

    async def accept(self, signal: Signal, body: bytes, credential: Credential) -> Receipt:
        """Take one decompressed protobuf request; returns once it is durable.

        Raises Refused when it can never succeed, Busy when the sender should retry.
        """
        rejected = 0
        if signal == "traces":
            if not body or not wire.check_traces(body):
                return Receipt()
        else:
            count, _, _ = _UNUSED[signal]
            rejected = count(body)
            if not rejected:
                return Receipt()
        item = Item(signal, body if signal == "traces" else b"", credential, Future(), rejected)
        item.done.set_running_or_notify_cancel()  # who hangs up cannot cancel what the writer will resolve
        with self._changed:
            if self._queue.closed:
                raise Busy("the receiver is shutting down", retry_after_s=2)
            if self._queue.unacknowledged + len(body) > self._max_queue_bytes and self._queue.unacknowledged:
                self.counters["busy"] += 1
                raise Busy(
                    f"{self._queue.unacknowledged >> 20} MiB wait to be written, the limit is "
                    f"{self._max_queue_bytes >> 20} MiB",
                    retry_after_s=1,
                )
            self._queue.items.append(item)
            self._queue.bytes += len(item.body)
            self._queue.unacknowledged += len(item.body)
            self._changed.notify_all()
        return await asyncio.wrap_future(item.done)

    async def stop(self) -> None:
        """Refuse new requests, write all that waits, end the threads."""
        with self._changed:
            self._queue.closed = True
            self._changed.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        self._save_dropped_keys()

    def pressure(self) -> float:
        """How full the queue is, 0 to 1."""
        return min(1.0, self._queue.unacknowledged / self._max_queue_bytes)

    def queue_bytes(self) -> int:
        """Bytes accepted into memory and not yet acknowledged."""
        return self._queue.unacknowledged

    def set_horizon(self, horizon_ns: int) -> None:
        """Reject spans that start before this from now on (retention deleted up to it)."""
        self._preparer.horizon_ns = horizon_ns

    # --- first thread ---------------------------------------------------------------------------------

    def _prepare_loop(self) -> None:
        while items := self._take():
            for one in self._prepare(items):
                with self._changed:
                    self._changed.wait_for(lambda: self._queue.ready is None)
                    self._queue.ready = one
                    self._changed.notify_all()
        with self._changed:
            self._queue.prepared_all = True
            self._changed.notify_all()

    def _take(self) -> list[Item]:
        """All that waits, up to one commit's worth; empty when closed and done."""
        q = self._queue
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    (q.items and (q.bytes >= OVERLAP_BYTES or not (q.committing or q.ready)))
                    or (q.closed and not q.items)
                )
            )
            items: list[Item] = []
            size = 0
            while q.items and (not items or size + len(q.items[0].body) <= MAX_BATCH_BYTES):
                items.append(q.items.popleft())
                size += len(items[-1].body)
            q.bytes -= size
            return items

    def _prepare(self, items: list[Item]) -> list[Prepared]:
        """Prepare a group; if something in it cannot be prepared, one by one, so that only the culprit is refused."""
        try:
            return [self._preparer.prepare(items, self._clock_ns())]
        except Exception as e:
            if len(items) > 1:
                return [p for item in items for p in self._prepare([item])]
            log.exception("a request could not be prepared", extra={"bytes": len(items[0].body)})
            refused = Refused(f"this request could not be processed ({type(e).__name__}); the receiver's log says more")
            self._resolve([(items[0], refused)])
            return []

    # --- second thread --------------------------------------------------------------------------------

    def _commit_loop(self) -> None:
        q = self._queue
        while True:
            with self._changed:
                q.committing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: q.ready is not None or q.prepared_all, timeout=SAVE_DROPPED_KEYS_S)
                batch, q.ready = q.ready, None
                q.committing = batch is not None
                self._changed.notify_all()
                if batch is None and q.prepared_all:
                    return
            if batch is None:
                self._save_dropped_keys()
            else:
                self._resolve(self._commit(batch))

    def _commit(self, batch: Prepared) -> "list[tuple[Item, Receipt | Exception]]":
        if batch.epoch != self._preparer.epoch:
            return [(item, Busy("a write before this one failed")) for item in batch.items]
        try:
            receipts = self._write(batch)
        except DatabaseError as e:
            log.exception("a commit failed; its requests are answered 'retry'")
            self.counters["commit_errors"] += 1
            with self._store.cursor() as c:
                self._preparer.load(c)
            return [(item, Busy(f"the store could not be written ({type(e).__name__})")) for item in batch.items]
        return list(zip(batch.items, receipts, strict=True))

    def _write(self, batch: Prepared) -> list[Receipt]:
        number = max(self.last_batch + 1, self._clock_ns() // 1_000_000)
        with self._store.transaction() as c:
            for table, rows in batch.dictionaries:
                insert(c, table, rows)
            verdict = judge(c, self._known, batch.spans, batch.tenant) if len(batch.spans) else None
            spans, tool_calls = batch.kept(number, verdict)
            if len(spans):
                insert(c, "span_log", spans)
            if len(tool_calls):
                insert(c, "message_tool_calls", tool_calls)
            if events := batch.events(number, verdict):
                insert(c, "ingest_events", events)
        if len(spans):
            self._known.add(spans["span_id"].to_numpy())
        self.last_batch = number
        self.counters["requests"] += len(batch.items)
        self.counters["spans"] += len(spans)
        self.counters["commits"] += 1
        self._note_dropped_keys(batch.dropped_keys)
        return [Receipt(*answer) for answer in batch.answers(verdict)]

    def _resolve(self, answers: "list[tuple[Item, Receipt | Exception]]") -> None:
        with self._changed:
            self._queue.unacknowledged -= sum(len(item.body) for item, _ in answers)
        for item, answer in answers:
            if item.done.cancelled():
                continue
            if isinstance(answer, Receipt):
                item.done.set_result(answer)
            else:
                item.done.set_exception(answer)

    def _note_dropped_keys(self, keys: Counter[str]) -> None:
        for key, count in keys.items():
            known = key in self._dropped_keys or len(self._dropped_keys) < MAX_DROPPED_KEYS
            self._dropped_keys[key if known else "_other"] += count

    def _save_dropped_keys(self) -> None:
        """Counts of dropped keys are written now and then: they are a hint for mapping, not part of the ledger."""
        if not self._dropped_keys:
            return
        with self._store.transaction() as c:
            c.execute("DELETE FROM dropped_keys")
            c.execute(
                "INSERT INTO dropped_keys SELECT unnest(?), unnest(?)",
                [list(self._dropped_keys), list(self._dropped_keys.values())],
            )
