"""Accept requests, write them in groups, acknowledge after the commit. Transport-free.

Two threads work behind the backlog: one prepares (decode, normalise, protect, intern), the other commits.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from collector.backlog import Backlog, Item, Receipt
from collector.dedup import IdFilter, judge
from collector.dialects.engine import TABLES
from collector.dialects.tables import Tables
from collector.errors import Busy, Refused
from collector.identity import Credential
from collector.otlp import wire
from collector.otlp.answers import Signal
from collector.prepare import Prepared, Preparer
from collector.privacy import Hasher
from collector.store import Store, insert

# Keys of dropped attributes that are counted by name.
MAX_DROPPED_KEYS = 5_000
SAVE_DROPPED_KEYS_S = 5.0
RATE_WINDOW_S = 0.5

Answer = tuple[Item, Receipt | Exception]

log = logging.getLogger(__name__)


class Ingest:
    """The way into the store. `accept` returns when the request is durable and queryable."""

    def __init__(
        self,
        store: Store,
        key: bytes,
        *,
        tables: Tables = TABLES,
        max_queue_bytes: int = 128 << 20,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._clock_ns = clock_ns
        self._backlog = Backlog(max_queue_bytes)
        self._preparer = Preparer(Hasher(key), tables)
        self._known = IdFilter()
        self._threads: list[threading.Thread] = []
        self._dropped_keys: Counter[str] = Counter()
        self._unsaved_keys: set[str] = set()
        self._keys_saved_s = time.monotonic()
        self.counters: Counter[str] = Counter()
        self.last_batch = 0
        self._measured = ((time.monotonic(), 0), (time.monotonic(), 0))

    def start(self) -> None:
        """Read what the store holds (ids, dictionaries, horizon) and start the two threads."""
        with self._store.cursor() as c:
            self._preparer.load(c)
            self.last_batch = c.execute(
                "SELECT greatest((SELECT max(batch) FROM span_log), (SELECT max(batch) FROM ingest_events), 0)"
            ).fetchall()[0][0]
            stored = c.execute("SELECT count(*) FROM span_log").fetchall()[0][0]
            self._known = IdFilter(max(stored + stored // 8, 1 << 19))
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
        if not body or not wire.check(signal, body):
            return Receipt()
        item = Item(signal, body, credential, asyncio.get_running_loop().create_future())
        try:
            self._backlog.put(item)
        except Busy:
            self.counters["busy"] += 1
            raise
        return await item.done

    async def stop(self) -> None:
        """Refuse new requests, write all that waits, end the threads."""
        self._backlog.close()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        self._save_dropped_keys()

    def pressure(self) -> float:
        """How full the backlog is, 0 to 1."""
        return min(1.0, self.queue_bytes() / self._backlog.max_bytes)

    def rate(self) -> float:
        """Spans written a second, since the last but one call that lies half a second or more back."""
        now, spans = time.monotonic(), self.counters["spans"]
        began, before = self._measured[0]
        if now - self._measured[-1][0] > RATE_WINDOW_S:
            self._measured = (self._measured[-1], (now, spans))
        return (spans - before) / max(now - began, RATE_WINDOW_S)

    def queue_bytes(self) -> int:
        """Bytes accepted into memory and not yet acknowledged."""
        return self._backlog.unacknowledged_bytes

    @property
    def tables(self) -> Tables:
        """The dialect tables that spans are read with. Others may take their place at any time."""
        return self._preparer.tables

    @tables.setter
    def tables(self, tables: Tables) -> None:
        self._preparer.tables = tables

    def set_horizon(self, horizon_ns: int) -> None:
        """Reject spans that start before this from now on (retention deleted up to it)."""
        self._preparer.horizon_ns = horizon_ns

    # --- first thread ---------------------------------------------------------------------------------

    def _prepare_loop(self) -> None:
        while items := self._backlog.take():
            for prepared in self._prepare(items):
                self._backlog.hand_over(prepared)
        self._backlog.hand_over(None)

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
        while True:
            prepared, over = self._backlog.next(SAVE_DROPPED_KEYS_S)
            if over:
                return
            if prepared is not None:
                self._resolve(self._commit(prepared))
            if time.monotonic() - self._keys_saved_s >= SAVE_DROPPED_KEYS_S:
                self._save_dropped_keys()

    def _commit(self, group: Prepared) -> list[Answer]:
        if group.epoch != self._preparer.epoch:
            return [(item, Busy("a write before this one failed")) for item in group.items]
        try:
            return list(zip(group.items, self._write(group), strict=True))
        except Exception as e:
            log.exception("a commit failed; its requests are answered 'retry'")
            self.counters["commit_errors"] += 1
            with self._store.cursor() as c:
                self._preparer.load(c)
            return [(item, Busy(f"the store could not be written ({type(e).__name__})")) for item in group.items]

    def _write(self, group: Prepared) -> list[Receipt]:
        number = max(self.last_batch + 1, self._clock_ns() // 1_000_000)
        with self._store.transaction() as c:
            for table, rows in group.dictionaries:
                insert(c, table, rows)
            verdict = judge(c, self._known, group.spans, group.tenant) if len(group.spans) else None
            spans, tool_calls = group.kept(number, verdict)
            if len(spans):
                insert(c, "span_log", spans)
            if len(tool_calls):
                insert(c, "message_tool_calls", tool_calls)
            if group.metric_points:
                insert(c, "metric_points", group.metric_rows(number))
            if events := group.events(number, verdict):
                insert(c, "ingest_events", events)
        if len(spans):
            self._known.add(spans["span_id"].to_numpy())
        self.last_batch = number
        self.counters["requests"] += len(group.items)
        self.counters["spans"] += len(spans)
        self.counters["commits"] += 1
        self._note_dropped_keys(group.dropped_keys)
        return [Receipt(*answer) for answer in group.answers(verdict)]

    def _resolve(self, answers: list[Answer]) -> None:
        """Give the answers to the loops that wait for them, one wake-up a loop."""
        self._backlog.release([item for item, _ in answers])
        for loop in {item.done.get_loop() for item, _ in answers}:
            with suppress(RuntimeError):  # a loop that is closed waits for nothing
                loop.call_soon_threadsafe(_answer, [a for a in answers if a[0].done.get_loop() is loop])

    def _note_dropped_keys(self, keys: Counter[str]) -> None:
        for key, count in keys.items():
            known = key in self._dropped_keys or len(self._dropped_keys) < MAX_DROPPED_KEYS
            key = key if known else "_other"
            self._dropped_keys[key] += count
            self._unsaved_keys.add(key)

    def _save_dropped_keys(self) -> None:
        """Counts that have changed are written now and then: they are a hint for mapping, not part of the ledger."""
        self._keys_saved_s = time.monotonic()
        if not self._unsaved_keys:
            return
        keys = sorted(self._unsaved_keys)
        try:
            with self._store.transaction() as c:
                c.execute("DELETE FROM dropped_keys WHERE list_contains(?::VARCHAR[], key)", [keys])
                counts = [self._dropped_keys[key] for key in keys]
                c.execute("INSERT INTO dropped_keys SELECT unnest(?), unnest(?)", [keys, counts])
        except Exception:
            log.exception("counts of dropped keys could not be written; they are kept for the next time")
        else:
            self._unsaved_keys.clear()


def _answer(answers: list[Answer]) -> None:
    for item, answer in answers:
        if item.done.done():  # the caller has gone; what it sent is stored all the same
            continue
        if isinstance(answer, Receipt):
            item.done.set_result(answer)
        else:
            item.done.set_exception(answer)
