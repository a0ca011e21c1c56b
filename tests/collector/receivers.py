"""Really started receivers in front of a stub ingest, for the tests of the transports."""

import asyncio
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any, TypeVar

import uvloop

from collector import grpc, http
from collector.identity import Credential, Keys
from collector.otlp.answers import Signal
from collector.settings import Limits, Settings

T = TypeVar("T")
PROTO, JSON = "application/x-protobuf", "application/json"


@dataclass(frozen=True)
class Receipt:
    """What the stub answers."""

    rejected: int = 0
    message: str = ""


@dataclass
class Ingest:
    """Records what it is handed; raises or answers what the test sets. `begun`: it was handed something."""

    bodies: list[tuple[Signal, bytes]] = field(default_factory=list)
    credentials: list[Credential] = field(default_factory=list)
    error: BaseException | None = None
    receipt: Receipt = Receipt()
    delay_s: float = 0.0
    begun: threading.Event = field(default_factory=threading.Event)

    async def accept(self, signal: Signal, body: bytes, credential: Credential) -> Receipt:
        self.begun.set()
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.error:
            raise self.error
        self.bodies.append((signal, body))
        self.credentials.append(credential)
        return self.receipt


@dataclass
class Receiver:
    """Both transports on loopback, on ports of the kernel's choice."""

    ingest: Ingest
    loop: asyncio.AbstractEventLoop
    http: http.Server
    grpc: grpc.Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.port}"

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self.grpc.port}"

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def post_until(self, status: int, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Posts again and again: the first answer of this status, or the last after ten seconds."""
        end = time.monotonic() + 10
        while (answer := self.post(body))[0] != status and time.monotonic() < end:
            pass
        return answer

    def post(
        self, body: bytes, path: str = "/v1/traces", method: str = "POST", **headers: str | None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request; headers with _ for -, None leaves a default out. Status, lower-case headers, body."""
        sent = {"content-type": PROTO} | {k.replace("_", "-"): v for k, v in headers.items()}
        connection = HTTPConnection("127.0.0.1", self.http.port, timeout=10)
        try:
            connection.request(method, path, body, {k: v for k, v in sent.items() if v is not None})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def raw(self, data: bytes, *, close: bool = False, wait_s: float = 8.0) -> bytes:
        """Send bytes as they are; all that comes back until the other side closes."""
        with socket.create_connection(("127.0.0.1", self.http.port), wait_s) as c:
            c.sendall(data)
            if close:
                c.shutdown(socket.SHUT_WR)
            got = b""
            while part := c.recv(65536):
                got += part
            return got


@contextmanager
def receiver(limits: Limits | None = None, **settings: Any) -> Iterator[Receiver]:
    """Start both transports in a thread of their own; `settings` are keys such as ingest_key."""
    limits = limits or Limits()
    keys = Keys.of(Settings(**settings))
    ingest: Any = Ingest()
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> Receiver:
        over_http = await http.serve(ingest, keys, "127.0.0.1", 0, limits)
        over_grpc = await grpc.serve(ingest, keys, "127.0.0.1", 0, limits)
        return Receiver(ingest, loop, over_http, over_grpc)

    running = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield running
    finally:
        running.run(running.http.stop(2))
        running.run(running.grpc.stop(0.1))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
