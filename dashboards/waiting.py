"""What the pages' port answers while the server starts and stops: alive, not ready."""

import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

RETRY_AFTER_S = b"1"


class Waiting:
    """An application that says that it is starting, until `app` is there."""

    def __init__(self, start_id: str) -> None:
        self.start_id = start_id
        self.app: App | None = None
        self.stopping = False
        self._began = time.monotonic()

    def stop(self) -> None:
        """From now on the server is not ready."""
        self.stopping = True

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """One request."""
        if self.app is not None:
            await self.app(scope, receive, send)
            return
        alive = scope["path"] == "/healthz"
        uptime_s = round(time.monotonic() - self._began, 3)
        body: dict[str, Any] = {"status": "ok", "uptime_s": uptime_s, "start_id": self.start_id}
        if not alive:
            body = {"status": "not ready", "reason": "the server is starting: the store is being opened"}
        headers = [
            (b"content-type", b"application/json"),
            (b"retry-after", RETRY_AFTER_S),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 200 if alive else 503, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})
