"""Asks the server that runs on a data folder, over its own API. Only the standard library: commands stay quick."""

import http.client
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

FILE_NAME = "server.json"
CONNECT_S = 2.0
ANSWER_S = 120.0
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Server:
    """What a server writes down about itself. The addresses are as this machine reaches them."""

    pid: int
    start_id: str
    token: str
    pages: str
    otlp_http: str
    otlp_grpc: str


@dataclass(frozen=True)
class Reply:
    """An answer of the API, whoever gave it."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class StreamRefused(Exception):
    """A long answer was refused before it began."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"status {reply.status}")
        self.reply = reply


def announce(data: Path, server: Server) -> None:
    """Write DIR/server.json, readable by its owner alone, all at once."""
    path = data / FILE_NAME
    fresh = path.with_name(f".{FILE_NAME}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(server), file)
    fresh.replace(path)


def withdraw(data: Path, server: Server) -> None:
    """Remove DIR/server.json if it is still this server's."""
    if _read(data) == server:
        (data / FILE_NAME).unlink(missing_ok=True)


def running(data: Path) -> Server | None:
    """The server that runs on `data`; None if none does. A file that a dead server left behind is ignored."""
    server = _read(data)
    if server is None or not _alive(server.pid):
        return None
    try:
        reply = Remote(server, timeout_s=CONNECT_S).get("/healthz")
        return server if reply.status == 200 and reply.json().get("start_id") == server.start_id else None
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return None


class Remote:
    """Asks a running server."""

    def __init__(self, server: Server, timeout_s: float = ANSWER_S) -> None:
        self._server = server
        self._timeout_s = timeout_s

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Reply:
        """The answer to a question. Raises OSError or HTTPException if there is none."""
        return self._ask("GET", _address(path, params))

    def post(self, path: str, body: Mapping[str, Any] | bytes, wait_s: float | None = None) -> Reply:
        """The answer to an act, which may take `wait_s`. Raises OSError or HTTPException if there is none."""
        return self._ask("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(), wait_s)

    def stream(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[bytes]:
        """A long answer, piece by piece. Raises StreamRefused instead of the first one; OSError or HTTPException
        where it breaks off."""
        connection = self._connection()
        try:
            connection.request("GET", _address(path, params), headers={"Authorization": f"Bearer {self._server.token}"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise StreamRefused(Reply(answer.status, answer.read()))
            while piece := answer.read1(CHUNK_BYTES):
                yield piece
        finally:
            connection.close()

    def _ask(self, method: str, path: str, body: bytes | None = None, wait_s: float | None = None) -> Reply:
        headers = {"Authorization": f"Bearer {self._server.token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = self._connection(wait_s)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Reply(answer.status, answer.read())
        finally:
            connection.close()

    def _connection(self, wait_s: float | None = None) -> http.client.HTTPConnection:
        parts = urlsplit(self._server.pages)
        return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=wait_s or self._timeout_s)


def _address(path: str, params: Mapping[str, Any] | None) -> str:
    known = {name: value for name, value in (params or {}).items() if value not in (None, [])}
    return f"{quote(path)}?{urlencode(known, doseq=True)}" if known else quote(path)


def _read(data: Path) -> Server | None:
    try:
        return Server(**json.loads((data / FILE_NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
