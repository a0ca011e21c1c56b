"""Answers where no server runs: opens the store itself and puts the same questions to the same application."""

import asyncio
import time
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from analytics.jobs import Runner
from collector.identity import SCOPES, Keys
from collector.settings import Settings
from collector.store import Store
from dashboards import rules
from dashboards.app import create_app
from dashboards.client import Reply

STORE_NAME = "spanledger.duckdb"


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
        )

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Reply:
        """The answer to a question."""
        known = {name: value for name, value in (params or {}).items() if value not in (None, [])}
        return asyncio.run(self._ask("GET", path, urlencode(known, doseq=True)))

    def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """The answer to an act."""
        return asyncio.run(self._ask("POST", path, "", orjson.dumps(dict(body))))

    def stream(self, path: str) -> Iterator[bytes]:
        """A long answer; whole, for it comes from this process."""
        yield self.get(path).body

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    async def _ask(self, method: str, path: str, query: str, body: bytes = b"") -> Reply:
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
                parts.append(message.get("body", b""))

        await self._app(scope, receive, send)
        return Reply(status, b"".join(parts))
