"""`import`: OTLP files in, to the running server or straight into the store; idempotent like the wire."""

import asyncio
import http.client
import json
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from collector.dialects.events import spans_of_logs
from collector.errors import Busy, Refused
from collector.identity import SCOPES, Credential
from collector.otlp import files, wire
from collector.settings import Settings
from dashboards import format
from dashboards.client import Remote, Server, running
from dashboards.commands import tables
from dashboards.commands.asking import NO, OK, checked

CONNECTIONS = 8
ANSWER_S = 60.0


@dataclass
class Tally:
    """What became of the files: spans in them (those made of log records too), of these rejected, and requests that
    could not be taken."""

    spans: int = 0
    rejected: int = 0
    refused: int = 0
    other: int = 0


Send = Callable[[files.Request], int]


def import_files(args: Namespace, settings: Settings) -> int:
    """Send every request of every file; a file that cannot be read costs itself alone."""
    tally, problems = Tally(), list[str]()
    with _receiver(settings) as (send, count_spans):
        before = count_spans()
        with _progress(args.json) as progress:
            for path in args.files:
                _one(Path(path), send, tally, problems, progress)
        added = min(count_spans() - before, tally.spans - tally.rejected)
    known = tally.spans - tally.rejected - added
    if args.json:
        sums = {"spans": tally.spans, "stored": added, "already_stored": known, "rejected": tally.rejected}
        answer = sums | {"refused_requests": tally.refused, "other_signals": tally.other, "problems": problems}
        print(json.dumps(answer))  # noqa: T201 - this is the answer
        return NO if problems or tally.rejected else OK
    tables.say(
        f"{format.count(tally.spans)} spans read: {format.count(added)} stored, {format.count(known)} stored already, "
        f"{format.count(tally.rejected)} rejected."
    )
    if tally.other:
        used = "of these the events and counters of coding agents are used"
        tables.say(f"{format.count(tally.other)} requests of logs or metrics: {used}.", "yellow")
    for problem in problems:
        tables.say(problem, "red")
    return NO if problems or tally.rejected else OK


def _one(path: Path, send: Send, tally: Tally, problems: list[str], progress: Progress) -> None:
    """Send one file, a few requests at a time, so that memory stays bounded and commits are shared."""
    try:
        task = progress.add_task(format.inert(path.name), total=path.stat().st_size or 1)
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            open_requests: set[Future[int]] = set()
            for request in files.requests(path):
                progress.update(task, completed=request.file_bytes)
                tally.spans += _count(request)
                tally.other += request.signal != "traces"
                if len(open_requests) >= CONNECTIONS:
                    done, open_requests = wait(open_requests, return_when=FIRST_COMPLETED)
                    _settle(done, path, tally, problems)
                open_requests.add(pool.submit(send, request))
            _settle(open_requests, path, tally, problems)
        progress.update(task, completed=path.stat().st_size or 1)
    except Refused as e:
        problems.append(e.reason)
    except OSError as e:
        problems.append(f"{path}: cannot be read ({e.strerror})")


def _settle(done: set[Future[int]], path: Path, tally: Tally, problems: list[str]) -> None:
    for future in done:
        try:
            tally.rejected += future.result()
        except Refused as e:
            tally.refused += 1
            problems.append(f"{path}: {e.reason}")


def _count(request: files.Request) -> int:
    if request.signal == "metrics":
        return 0
    body = request.body if request.signal == "traces" else spans_of_logs(request.body).body
    message = wire.MESSAGES["TracesRequest"].FromString(body)
    return sum(len(scope.spans) for resource in message.resource_spans for scope in resource.scope_spans)


@contextmanager
def _receiver(settings: Settings) -> Iterator[tuple[Send, Callable[[], int]]]:
    """How to send a request (the answer: items rejected) and how to count what is stored."""
    if server := running(settings.data):
        source = Remote(server)
        yield _wire(server), lambda: int(checked(source.get("/api/v1/spans/count")).json()["count"])
        return
    from analytics.reports.spans import count_spans  # noqa: PLC0415 - not needed beside a server
    from collector.ingest import Ingest  # noqa: PLC0415
    from dashboards import rules  # noqa: PLC0415
    from dashboards.local import catch_up, open_store  # noqa: PLC0415
    from dashboards.serve import secret_key  # noqa: PLC0415

    tables = rules.dialect_tables(settings.data)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = open_store(settings)
    ingest = Ingest(store, secret_key(settings.data), tables=tables, max_queue_bytes=settings.max_queue_bytes)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    ingest.start()
    importer = Credential("import", None, SCOPES)

    def send(request: files.Request) -> int:
        while True:
            accepted = ingest.accept(request.signal, request.body, importer)
            try:
                receipt = asyncio.run_coroutine_threadsafe(accepted, loop).result()
            except Busy as e:
                time.sleep(e.retry_after_s)
                continue
            return receipt.rejected if request.signal == "traces" else 0

    try:
        yield send, lambda: count_spans(store)
        catch_up(store, settings.data)
    finally:
        asyncio.run_coroutine_threadsafe(ingest.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        store.close()


def _wire(server: Server) -> Send:
    """Over OTLP/HTTP, a connection for each thread."""
    local = threading.local()
    parts = urlsplit(server.otlp_http)
    headers = {"Content-Type": "application/x-protobuf", "Authorization": f"Bearer {server.token}"}

    def send(request: files.Request) -> int:
        while True:
            if not hasattr(local, "connection"):
                local.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_S)
            try:
                local.connection.request("POST", f"/v1/{request.signal}", request.body, headers)
                answer = local.connection.getresponse()
                body = answer.read()
            except http.client.HTTPException as e:
                local.connection.close()
                raise Refused(f"the server broke off ({type(e).__name__})") from e
            if answer.status in (429, 503):
                time.sleep(float(answer.headers.get("Retry-After", "1")))
                continue
            if answer.status != 200:
                raise Refused(f"the server refused a request with status {answer.status}")
            if request.signal != "traces":
                return 0
            return int(ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans)

    return send


def _progress(quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=tables.console(),
        disable=quiet or not tables.console().is_terminal,
        transient=True,
    )
