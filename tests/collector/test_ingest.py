"""Exactly once, durable, one bad request never harming another."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from collector import ingest as ingest_module
from collector.backlog import Receipt
from collector.errors import Busy, Refused
from collector.identity import Credential
from collector.ingest import Ingest
from collector.store import DatabaseError, Store, insert

OPEN = Credential("open", None, frozenset({"ingest"}))
NOW_NS = 1_795_200_000 * 10**9
KEY = b"k" * 32


def span(number: int, **fields: Any) -> dict[str, Any]:
    """Fields of a valid span of trace 'tttt...'."""
    base = {"trace_id": b"t" * 16, "span_id": number.to_bytes(8, "big"), "name": "tool.call", "kind": 1}
    return base | {"start_time_unix_nano": NOW_NS, "end_time_unix_nano": NOW_NS + 1000} | fields


def body(*spans: dict[str, Any], **resource: str) -> bytes:
    """A request; `attributes` of a span may be a plain dict of strings and integers."""
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    group.resource.attributes.extend(_attributes({"service.name": "test"} | resource))
    scope = group.scope_spans.add()
    for fields in spans:
        attributes = fields.pop("attributes", {})
        scope.spans.add(**fields).attributes.extend(_attributes(attributes))
    return message.SerializeToString()


def _attributes(values: dict[str, Any]) -> list[KeyValue]:
    return [
        KeyValue(key=k, value=AnyValue(int_value=v) if isinstance(v, int) else AnyValue(string_value=v))
        for k, v in values.items()
    ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = Store(tmp_path / "spanledger.duckdb")
    opened.migrate("collector")
    yield opened
    opened.close()


def run(store: Store, job: Callable[[Ingest], Awaitable[Any]], **options: Any) -> Any:
    """Run a job against a started ingest over the store, and stop it."""

    async def main() -> Any:
        ingest = Ingest(store, KEY, clock_ns=lambda: NOW_NS, **options)
        ingest.start()
        try:
            return await job(ingest)
        finally:
            await ingest.stop()

    return asyncio.run(main())


def send(store: Store, *bodies: bytes, credential: Credential = OPEN) -> list[Receipt]:
    """Send bodies at the same time, each as its own request."""

    async def job(ingest: Ingest) -> list[Receipt]:
        return list(await asyncio.gather(*(ingest.accept("traces", b, credential) for b in bodies)))

    receipts: list[Receipt] = run(store, job)
    return receipts


def rows(store: Store, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with store.cursor() as c:
        return c.execute(query).fetchall()


def test_acknowledged_means_queryable(store: Store) -> None:
    """After the answer the spans are there, with what they said of themselves."""
    attributes = {"tool.name": "search", "tool.server": "mcp", "tenant": "acme", "retry_count": 2}
    assert send(store, body(span(1, attributes=attributes))) == [Receipt()]
    query = "SELECT kind, tool, tool_server, tenant, retry_count, service, ingest_tenant FROM span_details"
    assert rows(store, query) == [("tool.call", "search", "mcp", "acme", 2, "test", None)]


def test_repeats_change_nothing(store: Store) -> None:
    """The same spans again, in one request, beside each other, later and after a restart, are stored once."""
    first = body(span(1), span(2), span(1))
    send(store, first, first, first)
    send(store, first)
    assert rows(store, "SELECT count(*), count(DISTINCT span_id) FROM spans") == [(2, 2)]
    query = "SELECT outcome, sum(items) FROM ingest_events GROUP BY outcome"
    assert rows(store, query) == [("deduplicated", 10)]


def test_first_content_wins(store: Store) -> None:
    """Another content under a stored identity is counted as conflicting, told to the sender, and not stored."""
    send(store, body(span(1, name="first")))
    (receipt,) = send(store, body(span(1, name="second"), span(2)))
    assert receipt.rejected == 0
    assert "1 conflicting" in receipt.message
    assert rows(store, "SELECT name FROM span_details ORDER BY span_id") == [("first",), ("tool.call",)]
    assert rows(store, "SELECT outcome, items FROM ingest_events") == [("conflicting", 1)]


def test_another_start_time_is_still_the_same_span(store: Store) -> None:
    """Identity does not depend on time: a repeat that moved by a day is found, too."""
    send(store, body(*(span(i) for i in range(1, 50))))
    day = 86_400 * 10**9
    moved = body(span(7, start_time_unix_nano=NOW_NS - day, end_time_unix_nano=NOW_NS - day + 5))
    (receipt,) = send(store, moved)
    assert "conflicting" in receipt.message
    assert rows(store, "SELECT count(*) FROM spans") == [(49,)]


def test_tenants_do_not_share_identities(store: Store) -> None:
    """The same ids under two credentials' tenants are two spans, in one batch and later."""
    acme, umbra = Credential("a", "acme", frozenset()), Credential("u", "umbra", frozenset())

    async def job(ingest: Ingest) -> None:
        await asyncio.gather(*(ingest.accept("traces", body(span(1)), c) for c in (acme, umbra)))
        await ingest.accept("traces", body(span(1)), umbra)

    run(store, job)
    assert rows(store, "SELECT ingest_tenant FROM span_details ORDER BY 1") == [("acme",), ("umbra",)]


def test_a_foreign_tenant_is_quarantined(store: Store) -> None:
    """A span that claims another tenant than its credential's is stored with the quarantine flag."""
    acme = Credential("a", "acme", frozenset())
    send(store, body(span(1, attributes={"tenant": "umbra"}), span(2, attributes={"tenant": "acme"})), credential=acme)
    assert rows(store, "SELECT span_id, flags & 2 FROM spans ORDER BY 1") == [(1, 2), (2, 0)]


def test_bad_spans_are_told_by_request(store: Store) -> None:
    """Each sender hears of its own rejected spans only; neighbours are stored."""
    bad = span(9, trace_id=bytes(16))
    first, second = send(store, body(span(1), bad, span(2)), body(span(3)))
    assert (first.rejected, first.message) == (1, "1 rejected: trace_id is all zero")
    assert second == Receipt()
    assert rows(store, "SELECT count(*) FROM spans") == [(3,)]
    assert rows(store, "SELECT outcome, reason, items FROM ingest_events") == [("rejected", "zero_trace_id", 1)]


def test_absurd_times_are_quarantined(store: Store) -> None:
    """The end of time, 1970 and ten years ahead are stored, flagged and out of totals; 2025 is history."""
    times = (2**64 - 10, 0, NOW_NS + 10 * 31_536_000 * 10**9, 1_748_736_000 * 10**9)
    spans = [span(i + 1, start_time_unix_nano=t, end_time_unix_nano=t + 1) for i, t in enumerate(times)]
    send(store, body(*spans))
    assert rows(store, "SELECT flags & 4 FROM spans ORDER BY span_id") == [(4,), (4,), (4,), (0,)]


def test_spans_before_the_horizon_are_too_old(store: Store) -> None:
    """What retention may have deleted is rejected, so that a resend never counts twice; also after a restart."""
    with store.transaction() as c:
        c.execute(f"INSERT INTO store_facts VALUES ('horizon_ns', '{NOW_NS - 10}')")
    old = span(1, start_time_unix_nano=NOW_NS - 11)
    (receipt,) = send(store, body(old, span(2)))
    assert receipt.rejected == 1
    assert "retention" in receipt.message
    assert rows(store, "SELECT span_id FROM spans") == [(2,)]


def test_garbage_is_refused_and_harms_nobody(store: Store) -> None:
    """Bytes that are no request are refused for good, with a reason; a request beside them is stored."""

    async def job(ingest: Ingest) -> list[Any]:
        requests = (ingest.accept("traces", b, OPEN) for b in (os.urandom(64 << 10), body(span(1))[:-5], body(span(2))))
        return await asyncio.gather(*requests, return_exceptions=True)

    garbage, cut, good = run(store, job)
    assert isinstance(garbage, Refused) and isinstance(cut, Refused)
    assert "not a valid ExportTraceServiceRequest" in garbage.reason
    assert good == Receipt()


def test_a_full_queue_says_retry(store: Store) -> None:
    """What does not fit into the queue is answered Busy at once; what was accepted is stored."""
    bodies = [body(span(i + 1, attributes={"k": "x" * 5000})) for i in range(40)]

    async def job(ingest: Ingest) -> list[Any]:
        return await asyncio.gather(*(ingest.accept("traces", b, OPEN) for b in bodies), return_exceptions=True)

    answers = run(store, job, max_queue_bytes=50_000)
    accepted = [a for a in answers if a == Receipt()]
    assert all(a == Receipt() or (isinstance(a, Busy) and 1 <= a.retry_after_s <= 5) for a in answers)
    assert 0 < len(accepted) < 40
    assert rows(store, "SELECT count(*) FROM spans") == [(len(accepted),)]


def test_a_failed_commit_is_retried_by_the_sender(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the store cannot be written the sender is told to retry, and the retry is stored once, described rightly."""
    failures = [1]

    def broken(cursor: Any, table: str, table_rows: Any) -> None:
        if table == "span_log" and failures:
            failures.pop()
            raise DatabaseError("disk full")
        insert(cursor, table, table_rows)

    monkeypatch.setattr("collector.ingest.insert", broken)
    request = body(span(1, attributes={"tool.name": "search"}))

    async def job(ingest: Ingest) -> Receipt:
        with pytest.raises(Busy):
            await ingest.accept("traces", request, OPEN)
        return await ingest.accept("traces", request, OPEN)

    assert run(store, job) == Receipt()
    assert rows(store, "SELECT tool, service FROM span_details") == [("search", "test")]


def test_dropped_keys_are_told_while_spans_keep_coming(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys whose values were dropped are stored within moments, under traffic that never pauses; at rest nothing is
    written."""
    monkeypatch.setattr(ingest_module, "SAVE_DROPPED_KEYS_S", 0.1)
    sent, stored, writes = 0, list[Any](), list[int]()
    told = "SELECT values_dropped FROM dropped_keys WHERE key = 'my.note'"

    async def keep_sending(ingest: Ingest) -> None:
        nonlocal sent
        end = time.monotonic() + 5
        while not stored and time.monotonic() < end:
            sent += 1
            await ingest.accept("traces", body(span(sent, attributes={"my.note": "kept by nobody"})), OPEN)
            stored.extend(rows(store, told))
        await asyncio.sleep(0.4)  # what the last requests dropped is written by now
        transaction = store.transaction

        def counted() -> Any:
            writes.append(1)
            return transaction()

        monkeypatch.setattr(store, "transaction", counted)
        await asyncio.sleep(0.4)

    run(store, keep_sending)
    assert rows(store, told) == [(sent,)]
    assert stored
    assert writes == []


def test_unused_signals_are_counted_not_swallowed(store: Store) -> None:
    """Logs are answered with how many records were not taken and why, and the ledger says so."""
    message = ExportLogsServiceRequest()
    records = message.resource_logs.add().scope_logs.add().log_records
    for _ in range(3):
        records.add().body.string_value = "hello"

    async def job(ingest: Ingest) -> Receipt:
        return await ingest.accept("logs", message.SerializeToString(), OPEN)

    receipt = run(store, job)
    assert receipt.rejected == 3
    assert "of log records the events of coding agents and messages" in receipt.message
    assert rows(store, "SELECT signal, reason, items FROM ingest_events") == [("logs", "log_not_understood", 3)]


WRITER = """
import asyncio, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from collector.ingest import Ingest
from collector.store import Store
sys.path.insert(0, {tests!r})
from test_ingest import KEY, OPEN, body, span

async def main():
    store = Store(Path({path!r})); store.migrate("collector")
    ingest = Ingest(store, KEY); ingest.start()
    async def one(lane):
        n = lane
        while True:
            await ingest.accept("traces", body(*(span(n * 10 + i + 1) for i in range(10))), OPEN)
            print(n, flush=True)
            n += 8
    await asyncio.gather(*(one(lane) for lane in range(8)))

asyncio.run(main())
"""


@pytest.mark.slow
def test_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """After kill -9 in mid-load every acknowledged span is there, and resending everything counts nothing twice."""
    path = tmp_path / "spanledger.duckdb"
    here = Path(__file__).parent
    script = WRITER.format(root=str(here.parents[1]), tests=str(here), path=str(path))
    acked: list[int] = []
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        deadline = time.monotonic() + 30
        while len(acked) < 200 and time.monotonic() < deadline:
            acked.append(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
        acked += [int(line) for line in process.stdout.read().split("\n") if line.isdigit()]
    store = Store(path)
    have = {row[0] for row in rows(store, "SELECT span_id FROM spans")}
    assert {n * 10 + i + 1 for n in acked for i in range(10)} <= have
    send(store, *(body(*(span(n * 10 + i + 1) for i in range(10))) for n in range(max(acked) + 20)))
    assert rows(store, "SELECT count(*), count(DISTINCT span_id) FROM spans") == [((max(acked) + 20) * 10,) * 2]
    store.close()
