"""Answers where no server runs: opens the store itself and puts the same questions to the same application."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from analytics import slo_events
from analytics.jobs import Runner
from collector.errors import Busy
from collector.identity import SCOPES, Keys
from collector.settings import Settings
from collector.store import Store
from dashboards import rules
from dashboards.app import create_app
from dashboards.client import Reply, StreamRefused

STORE_NAME = "spanledger.duckdb"
MAKER = "long answer"
PIECES = 8  # of a long answer, made ahead of who takes them


def open_store(settings: Settings) -> Store:
    """The store of the data folder, brought to this version's schema. Raises StoreError."""
    store = Store(settings.data / STORE_NAME, memory_limit=settings.memory_limit)
    for package in ("collector", "analytics"):
        store.migrate(package)
    return store


def catch_up(store: Store, data: Path) -> None:
    """Let the jobs read everything that is stored, so that answers are current."""
    runner = Runner(store, rules.price_book(data), time.time_ns)
    while runner.run_pass(time.time_ns()).behind:
        pass
    ruled = rules.load(data)
    with store.transaction() as cursor:
        slo_events.refresh(cursor, ruled.slos, time.time_ns(), ruled.zones)


class Local:
    """Asks the store of a data folder that no server has open. Close it afterwards."""

    def __init__(self, settings: Settings, *, current: bool = True) -> None:
        self._store = open_store(settings)
        if current:
            catch_up(self._store, settings.data)
        self._app = create_app(
            self._store,
            settings,
            keys=Keys([], anonymous=SCOPES),
            rules=rules.load(settings.data),
            book=lambda: rules.price_book(settings.data),
            tables=lambda: rules.dialect_tables(settings.data),
        )

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Reply:
        """The answer to a question."""
        known = {name: value for name, value in (params or {}).items() if value not in (None, [])}
        return asyncio.run(self._ask("GET", path, urlencode(known, doseq=True)))

    def post(self, path: str, body: Mapping[str, Any] | bytes, wait_s: float | None = None) -> Reply:
        """The answer to an act, however long it takes."""
        sent = body if isinstance(body, bytes) else orjson.dumps(dict(body))
        return asyncio.run(self._ask("POST", *_parted(path), sent))

    def stream(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[bytes]:
        """A long answer, piece by piece, while another thread goes on making it. Raises StreamRefused instead of the
        first one, Busy if it breaks off."""
        pieces: queue.Queue[bytes | None] = queue.Queue(PIECES)
        known = urlencode(
            {name: value for name, value in (params or {}).items() if value not in (None, [])}, doseq=True
        )

        replies: list[Reply] = []
        gone = threading.Event()

        def take(piece: bytes) -> None:
            if gone.is_set():
                raise BrokenPipeError("whoever asked has gone")
            pieces.put(piece)

        def make() -> None:
            try:
                replies.append(asyncio.run(self._ask("GET", path, known, taken=take)))
            except BrokenPipeError:
                pass
            finally:
                pieces.put(None)

        maker = threading.Thread(target=make, name=MAKER, daemon=True)
        maker.start()
        piece: bytes | None = b""
        try:
            while (piece := pieces.get()) is not None:
                yield piece
        finally:
            gone.set()
            while piece is not None:
                piece = pieces.get()
            maker.join()
        if not replies:
            raise Busy("the answer broke off and is not complete")
        if replies[0].status != 200:
            raise StreamRefused(replies[0])

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    async def _ask(
        self, method: str, path: str, query: str, body: bytes = b"", taken: Callable[[bytes], None] | None = None
    ) -> Reply:
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "headers": headers, "client": None, "server": ("localhost", 80),
        }  # fmt: skip
        status, parts, asked = 500, list[bytes](), False

        async def receive() -> MutableMapping[str, Any]:
            nonlocal asked
            if asked:
                await asyncio.Event().wait()  # this caller never hangs up
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                (taken if taken and status == 200 else parts.append)(message.get("body", b""))

        await self._app(scope, receive, send)
        return Reply(status, b"".join(parts))


def _parted(address: str) -> tuple[str, str]:
    """Path and query of an address."""
    path, _, query = address.partition("?")
    return path, query
