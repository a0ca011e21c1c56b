"""The server: receiver, store, jobs, pages and API in one process."""

import asyncio
import ctypes
import gc
import json
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from collector import telemetry
from collector.connection import Connection
from collector.errors import StoreError
from collector.identity import Keys, require_keys_off_loopback
from collector.ports import listen
from collector.settings import Settings
from dashboards.client import Server, announce, running, withdraw
from dashboards.waiting import Waiting

if TYPE_CHECKING:  # loaded by `_open`, while the pages' port already answers
    from analytics.jobs import Runner
    from collector.ingest import Ingest
    from collector.store import Store
    from dashboards.rules import RuleFiles
    from dashboards.self_check import SelfCheck

STOP_GRACE_S = 5.0
KEY_BYTES = 32
M_ARENA_MAX = -8  # of malloc.h
JOB_THREADS = 8  # a job that waits for a network must not hold up another

log = logging.getLogger(__name__)


async def serve(settings: Settings, ready: Callable[[Server], None]) -> None:
    """Run until SIGTERM or SIGINT; `ready` is called once everything listens.

    Nothing acknowledged is lost at the end: no new requests, the queue written, the store folded and closed.
    Raises ConfigError or StoreError when it cannot start.
    """
    require_keys_off_loopback(settings.host, settings)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if other := running(settings.data):
        raise StoreError(f"a server runs on {settings.data} already (pid {other.pid}): its pages are at {other.pages}")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    token, start_id = secrets.token_urlsafe(24), secrets.token_hex(8)
    async with AsyncExitStack() as stack:
        waiting = Waiting(start_id)
        pages = await _Pages.listen(waiting, settings)
        stack.push_async_callback(pages.stop)
        await _start(stack, settings, waiting, token, pages, ready)
        await stop.wait()
        waiting.stop()
        log.info("stopping")
    log.info("stopped")


async def _start(
    stack: AsyncExitStack,
    settings: Settings,
    waiting: Waiting,
    token: str,
    pages: "_Pages",
    ready: Callable[[Server], None],
) -> None:
    """Open the store, then take spans in; `stack` undoes each step, the last one first."""
    from collector import grpc, http  # noqa: PLC0415 - half of the start-up time: the pages' port answers meanwhile
    from dashboards.self_check import SelfCheck  # noqa: PLC0415

    keys = Keys.of(settings, local_token=token)
    files, store, ingest = await asyncio.to_thread(_open, settings)
    stack.callback(store.close)
    stack.push_async_callback(pages.stop)  # nobody reads while the store closes
    runner, stop_jobs = await asyncio.to_thread(_start_jobs, settings, files, store, ingest, waiting)
    stack.push_async_callback(asyncio.to_thread, stop_jobs)
    await asyncio.to_thread(ingest.start)
    stack.push_async_callback(ingest.stop)
    otlp_http = await http.serve(ingest, keys, settings.host, settings.http_port, settings.limits)
    stack.push_async_callback(otlp_http.stop, STOP_GRACE_S)
    otlp_grpc = await grpc.serve(ingest, keys, settings.host, settings.grpc_port, settings.limits)
    stack.push_async_callback(otlp_grpc.stop, STOP_GRACE_S)
    server = Server(
        pid=os.getpid(),
        start_id=waiting.start_id,
        token=token,
        pages=f"http://{_reached(settings.host)}:{pages.port}",
        otlp_http=f"http://{_reached(settings.host)}:{otlp_http.port}",
        otlp_grpc=f"{_reached(settings.host)}:{otlp_grpc.port}",
    )
    self_check = SelfCheck(store, server.otlp_http, token)
    stack.push_async_callback(asyncio.to_thread, self_check.stop)
    application = partial(_application, settings, files, store, ingest, runner, keys, waiting, self_check)
    waiting.app = await asyncio.to_thread(application)
    announce(settings.data, server)
    stack.callback(withdraw, settings.data, server)
    gc.freeze()  # what was loaded stays: no collection has to look through it again
    stack.callback(gc.unfreeze)
    log.info("ready", extra={"pages": server.pages, "otlp_http": server.otlp_http, "otlp_grpc": server.otlp_grpc})
    ready(server)


class _Pages:
    """The listener of pages and API."""

    def __init__(self, server: uvicorn.Server, port: int) -> None:
        self.port = port
        self._server = server
        self._loop = asyncio.create_task(server.main_loop())

    @classmethod
    async def listen(cls, app: Waiting, settings: Settings) -> "_Pages":
        """Listen on the pages' port. Raises ConfigError if it cannot be used."""
        listener = listen(settings.host, settings.port, "port")
        config = uvicorn.Config(
            app,
            http=cast(type[asyncio.Protocol], partial(Connection, head_timeout_s=settings.limits.head_timeout_s)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=int(STOP_GRACE_S),
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listener])
        return cls(server, listener.getsockname()[1])

    async def stop(self) -> None:
        """Answer what is being answered, then end; a second time does nothing."""
        if not self._server.should_exit:
            self._server.should_exit = True
            await self._loop
            await self._server.shutdown()


def _open(settings: Settings) -> "tuple[RuleFiles, Store, Ingest]":
    """What people wrote; the store, brought to this version; and the way into it."""
    from collector.ingest import Ingest  # noqa: PLC0415 - see _start
    from dashboards import rules  # noqa: PLC0415
    from dashboards.local import open_store  # noqa: PLC0415

    files = rules.RuleFiles(settings.data)
    store = open_store(settings)
    key = secret_key(settings.data)
    return files, store, Ingest(store, key, tables=files.tables, max_queue_bytes=settings.max_queue_bytes)


def _start_jobs(
    settings: Settings, files: "RuleFiles", store: "Store", ingest: "Ingest", waiting: Waiting
) -> "tuple[Runner, Callable[[], None]]":
    """Let the jobs run in their own threads; who runs them, and how to stop them."""
    from apscheduler.executors.pool import ThreadPoolExecutor  # noqa: PLC0415 - see _start
    from apscheduler.schedulers.background import BackgroundScheduler  # noqa: PLC0415
    from fastapi import FastAPI  # noqa: PLC0415

    from analytics import evaluate, metrics, outbox  # noqa: PLC0415
    from analytics.close import record_corrections  # noqa: PLC0415
    from analytics.jobs import JOBS, Job, Runner, schedule  # noqa: PLC0415
    from analytics.reports.exports import write_due  # noqa: PLC0415
    from dashboards.app import follow  # noqa: PLC0415

    runner = Runner(store, files.book, time.time_ns, ingest.rate, ingest.set_horizon)

    def read_rules() -> None:
        files.refresh()
        runner.book, ingest.tables = files.book, files.tables
        if isinstance(waiting.app, FastAPI):
            follow(waiting.app, files.rules)

    def alert(now_ns: int) -> None:
        ruled = files.rules
        evaluate.evaluate(store, ruled.slos, ruled.alerts, now_ns, ruled.maintenance, ruled.zones)

    def report(now_ns: int) -> None:
        write_due(store, files.plans, files.book, files.rules.owners, now_ns)

    jobs = (
        *JOBS,
        Job("rule files", 1, lambda *_: read_rules()),
        Job("alerts", 5, lambda runner, _: alert(runner.clock())),
        Job("deliveries", 1, lambda runner, _: outbox.deliver(store, files.rules.alerts, runner.clock())),
        Job("metrics", 5, lambda runner, _: metrics.count(store, runner.clock())),
        Job("forgotten metrics", 3600, lambda *_: metrics.forget(store)),
        Job("corrections", 3600, lambda runner, _: record_corrections(store, files.rules.owners, runner.clock())),
        Job("reports", 600, lambda runner, _: report(runner.clock())),
    )
    threads = ThreadPoolExecutor(JOB_THREADS)
    scheduler = BackgroundScheduler(timezone="UTC", executors={"default": threads})
    schedule(scheduler, runner, settings.retention_days, jobs)
    scheduler.start()

    def stop() -> None:
        scheduler.shutdown(wait=False)  # waiting here would lock out the jobs that end just now
        threads.shutdown()

    return runner, stop


def _application(
    settings: Settings,
    files: "RuleFiles",
    store: "Store",
    ingest: "Ingest",
    runner: "Runner",
    keys: Keys,
    waiting: Waiting,
    self_check: "SelfCheck",
) -> Any:
    """Pages and API."""
    from dashboards.app import create_app  # noqa: PLC0415 - see _start

    def not_ready() -> str | None:
        if waiting.stopping:
            return "the server is stopping"
        if ingest.pressure() >= 1:
            return "the queue is full: senders are asked to retry"
        return None

    return create_app(
        store,
        settings,
        keys=keys,
        rules=files.rules,
        start_id=waiting.start_id,
        not_ready=not_ready,
        book=lambda: runner.book,
        tables=lambda: ingest.tables,
        quiet=runner.quiet,
        queue_bytes=ingest.queue_bytes,
        self_check=lambda: self_check.last,
    )


def secret_key(data: Path) -> bytes:
    """The key of all hashes of this store, made the first time: DIR/secret.key, readable by its owner alone.

    Raises StoreError if the file does not hold a whole key: hashes of another key would compare with nothing stored.
    """
    path, fresh = data / "secret.key", data / "secret.key.new"
    if not path.exists():
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise StoreError(
            f"{path} holds {len(key)} bytes and not {KEY_BYTES}: restore it from a backup; without one, delete it "
            "(what is stored stays, but new spans cannot be told to repeat the arguments and results of old ones)"
        )
    return key


def _reached(host: str) -> str:
    """How this machine reaches a listener on `host`."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host.strip("[]"), host.strip("[]"))  # noqa: S104
    return f"[{name}]" if ":" in name else name


def run(settings: Settings, ready: Callable[[Server], None] | None = None) -> None:
    """`serve` on a loop of its own; by default the addresses go to stdout as one line of JSON."""
    import uvloop  # noqa: PLC0415 - not needed by anything else

    telemetry.configure_logging(settings.log_level)
    with suppress(AttributeError, OSError):  # glibc: two arenas for all threads instead of one for each, 35 MB less
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
    os.environ.setdefault("MIMALLOC_PURGE_DELAY", "0")  # Arrow gives freed pages back at once: 60 MB less under load
    for noisy in ("apscheduler", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, ready or say))


def say(server: Server) -> None:
    """The addresses as one line of JSON on stdout; never the token."""
    shown = {name: value for name, value in asdict(server).items() if name != "token"}
    sys.stdout.write(json.dumps({"ready": True, **shown}) + "\n")
    sys.stdout.flush()
