"""OTLP/HTTP: a bare ASGI application, and the server that runs it."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from collector import bodies, telemetry
from collector.connection import Connection
from collector.errors import Busy, Forbidden, Refused, TooLarge, Unauthenticated
from collector.identity import Keys, key_of
from collector.otlp import answers
from collector.otlp.answers import CONTENT_TYPE, Encoding, Signal, UnknownPath, UnsupportedMedia, WrongMethod
from collector.otlp.compression import ENCODINGS
from collector.ports import listen
from collector.settings import Limits

if TYPE_CHECKING:  # the next stage is passed in: a transport starts without the store behind it
    from collector.ingest import Ingest

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = dict[bytes, bytes]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

PATHS: dict[str, Signal] = {"/v1/traces": "traces", "/v1/metrics": "metrics", "/v1/logs": "logs"}

# After a refusal in mid-body: as long the rest is read and thrown away, so that the sender sees the answer
# instead of a reset connection.
LINGER_S = 1.0
# Longer than the pauses of exporters that send every few seconds.
KEEP_ALIVE_S = 75

_MEDIA: dict[bytes, Encoding] = {content_type: encoding for encoding, content_type in CONTENT_TYPE.items()}
_PREFLIGHT_HEADERS = [
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"content-type, content-encoding, authorization, x-api-key"),
    (b"access-control-max-age", b"7200"),
]


class _GoneError(Exception):
    """The sender closed the connection before the end of its body."""


class _Body:
    """One request's body: what of it is held, and whether it has been read to its end."""

    __slots__ = ("ended", "held", "receive")

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.held = 0
        self.ended = False

    async def next(self) -> bytes:
        """The next piece. Raises _GoneError."""
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        self.ended = not message.get("more_body", False)
        return cast(bytes, message.get("body", b""))


def app(ingest: "Ingest", keys: Keys, limits: Limits) -> App:
    """The ASGI application: POST /v1/traces, /v1/metrics and /v1/logs."""
    return _Receiver(ingest, keys, limits)


class _Receiver:
    """Admit, read, decompress, convert, hand to `ingest`, answer. Each step raises its own refusal."""

    def __init__(self, ingest: "Ingest", keys: Keys, limits: Limits) -> None:
        self._ingest = ingest
        self._keys = keys
        self._limits = limits
        self._inflight_bytes = 0
        self._origins = frozenset(origin.encode() for origin in limits.cors_origins)
        telemetry.INFLIGHT_BYTES.set_function(lambda: self._inflight_bytes)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        headers: Headers = dict(scope["headers"])
        signal = PATHS.get(scope["path"])
        encoding = _MEDIA.get(headers.get(b"content-type", b"")) or _media(headers)
        body = _Body(receive)
        cors = self._cors(headers) if self._origins else []
        if cors and scope["method"] == "OPTIONS":
            await _send(send, 204, [*cors, *_PREFLIGHT_HEADERS], b"")
            return
        status = 200
        try:
            payload = await self._export(scope["method"], signal, encoding, headers, body)
            content = [(b"content-type", CONTENT_TYPE[encoding or "proto"]), (b"content-length", b"%d" % len(payload))]
            await _send(send, 200, content + cors, payload)
        except _GoneError:
            status = 499
        except asyncio.CancelledError:  # the grace of a shutdown is over: the sender shall come again
            await self._refuse(send, body, Busy("the receiver is shutting down"), encoding, cors)
            raise
        except (Refused, Busy) as e:
            status = await self._refuse(send, body, e, encoding, cors)
        except Exception as e:  # noqa: BLE001 - `unexpected` logs it
            status = await self._refuse(send, body, telemetry.unexpected(e), encoding, cors)
        finally:
            self._inflight_bytes -= body.held
        telemetry.count("http", signal, status, began)

    async def _export(
        self, method: str, signal: Signal | None, encoding: Encoding | None, headers: Headers, body: _Body
    ) -> bytes:
        """The answer's body. Everything that can be refused by the head alone is refused before reading."""
        if signal is None:
            raise UnknownPath("nothing is received at this path: use " + ", ".join(PATHS))
        if method != "POST":
            raise WrongMethod(f"the method is {method[:16]}, OTLP uses POST")
        credential = self._keys.require(key_of(headers), "ingest")
        if encoding is None:
            raise UnsupportedMedia("Content-Type must be application/x-protobuf or application/json")
        compression = headers.get(b"content-encoding", b"identity").decode("latin1").strip().lower()
        if compression not in ENCODINGS and compression not in ("identity", ""):
            raise UnsupportedMedia("Content-Encoding must be gzip, deflate or identity")
        data = await self._read(headers, body)
        telemetry.received("http", signal, len(data))
        if data and compression in ENCODINGS:
            data = await bodies.decompress(data, compression, self._limits.max_body_bytes)
            self._hold(body, len(data))
        warning = ""
        if data and encoding == "json":
            data, dropped = await bodies.convert(signal, data)
            warning = _left_out(dropped)
        if not data:
            return answers.success(signal, 0, warning, encoding)
        receipt = await self._ingest.accept(signal, data, credential)
        message = "; ".join(filter(None, (receipt.message, warning)))
        return answers.success(signal, receipt.rejected, message, encoding)

    async def _read(self, headers: Headers, body: _Body) -> bytes:
        """The whole body, as it came. Raises TooLarge, Busy (no room, or the sender is too slow)."""
        limits = self._limits
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limits.max_body_bytes:
            raise TooLarge(f"the body of {int(declared)} bytes is larger than {limits.max_body_bytes}")
        parts: list[bytes] = []
        size = 0
        due = asyncio.get_running_loop().time() + limits.body_grace_s
        try:
            async with asyncio.timeout_at(due) as deadline:
                while not body.ended:
                    part = await body.next()
                    size += len(part)
                    if size > limits.max_body_bytes:
                        raise TooLarge(f"the body is larger than {limits.max_body_bytes} bytes")
                    self._hold(body, len(part))
                    parts.append(part)
                    if not body.ended:
                        deadline.reschedule(due + size / limits.body_bytes_per_s)
        except TimeoutError:
            # Retryable: it may be the network's fault, and a sender drops its data on 408.
            raise Busy(f"only {size} bytes of the body arrived in time: send it faster or in smaller parts") from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _hold(self, body: _Body, size: int) -> None:
        """Account for memory until the request is answered. Raises Busy when all requests together hold too much."""
        most = self._limits.max_inflight_bytes
        if self._inflight_bytes + size > most and self._inflight_bytes > body.held:
            raise Busy(f"requests of {self._inflight_bytes >> 20} MiB are being read, the limit is {most >> 20} MiB")
        body.held += size
        self._inflight_bytes += size

    async def _refuse(
        self,
        send: Send,
        body: _Body,
        error: Exception,
        encoding: Encoding | None,
        cors: list[tuple[bytes, bytes]],
    ) -> int:
        """Answer an error; if its body is not read to the end, the connection ends with the answer."""
        status = answers.status_of(error)
        payload = answers.failure(error, encoding or "proto")
        headers = [
            (b"content-type", CONTENT_TYPE[encoding or "proto"]),
            (b"content-length", b"%d" % len(payload)),
            *cors,
        ]
        if status.retryable:
            headers.append((b"retry-after", b"%d" % answers.retry_after_s(error)))
        if isinstance(error, WrongMethod):
            headers.append((b"allow", b"POST"))
        if isinstance(error, Unauthenticated):
            headers.append((b"www-authenticate", b"Bearer"))
        if isinstance(error, Unauthenticated | Forbidden):
            telemetry.AUTH_FAILURES.labels(error.code).inc()
        if body.ended:
            await _send(send, status.http, headers, payload)
            return status.http
        await _send(send, status.http, [*headers, (b"connection", b"close")], payload, more=True)
        with suppress(TimeoutError, _GoneError):
            async with asyncio.timeout(LINGER_S):
                while not body.ended:
                    await body.next()
        await send({"type": "http.response.body", "body": b""})
        return status.http

    def _cors(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        origin = headers.get(b"origin", b"")
        if origin and (origin in self._origins or b"*" in self._origins):
            return [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
        return []


async def _send(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], payload: bytes, *, more: bool = False
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": payload, "more_body": more})


def _media(headers: Headers) -> Encoding | None:
    """The encoding by Content-Type, whatever its case and parameters."""
    return _MEDIA.get(headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower())


def _left_out(dropped: Counter[str]) -> str:
    """A warning about JSON values that could not be read; "" if all could."""
    names = ", ".join(f"{name} ({count})" for name, count in sorted(dropped.items()))
    return names and f"values of a wrong type were left out: {names}"


class Server:
    """A running listener."""

    def __init__(self, server: uvicorn.Server, port: int) -> None:
        self.port = port
        self._server = server
        self._loop = asyncio.create_task(server.main_loop())

    async def stop(self, grace_s: float) -> None:
        """Take no new requests, answer the ones that are being handled, at most `grace_s` long."""
        self._server.should_exit = True
        await self._loop
        self._server.config.timeout_graceful_shutdown = cast(int, grace_s)
        await self._server.shutdown()


async def serve(ingest: "Ingest", keys: Keys, host: str, port: int, limits: Limits) -> Server:
    """Listen for OTLP/HTTP; port 0 picks a free one. Raises ConfigError if the port cannot be used."""
    listener = listen(host, port, "http_port")
    config = uvicorn.Config(
        app(ingest, keys, limits),
        http=cast(type[asyncio.Protocol], partial(Connection, head_timeout_s=limits.head_timeout_s)),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    return Server(server, listener.getsockname()[1])
