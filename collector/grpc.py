"""OTLP/gRPC: the three Export services over raw bytes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn, cast

import grpc

from collector import bodies, telemetry
from collector.errors import Busy, ConfigError, Forbidden, Refused, Unauthenticated
from collector.identity import Keys, key_of
from collector.otlp import answers
from collector.otlp.answers import Signal
from collector.ports import listen
from collector.settings import Limits

if TYPE_CHECKING:  # the next stage is passed in: a transport starts without the store behind it
    from collector.ingest import Ingest

SERVICES: dict[Signal, str] = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}
CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

# Connections end now and then, so that load balancers spread them anew; a client opens the next one by itself.
MAX_CONNECTION_AGE_MS = 30 * 60_000
MAX_CONNECTION_AGE_GRACE_MS = 60_000
MAX_STREAMS_PER_CONNECTION = 256
READ_TIMEOUT_S = 60


def options(limits: Limits) -> list[tuple[str, int]]:
    """Channel arguments of the server."""
    return [
        ("grpc.so_reuseport", 0),  # a port in use is an error, not silently shared
        ("grpc.max_receive_message_length", limits.max_body_bytes),
        ("grpc.per_message_decompression", 0),  # done here: isal is faster, and its output is bounded
        ("grpc.http2.bdp_probe", 0),  # a ping for many a message, to size windows that a request does not need
        ("grpc.max_concurrent_streams", MAX_STREAMS_PER_CONNECTION),
        ("grpc.max_connection_age_ms", MAX_CONNECTION_AGE_MS),
        ("grpc.max_connection_age_grace_ms", MAX_CONNECTION_AGE_GRACE_MS),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_metadata_size", 64 << 10),
    ]


class Server:
    """A running listener."""

    def __init__(self, server: Any, port: int) -> None:
        self.port = port
        self._server = server

    async def stop(self, grace_s: float) -> None:
        """Take no new requests, answer the ones that are being handled, at most `grace_s` long."""
        await self._server.stop(grace_s)


async def serve(ingest: "Ingest", keys: Keys, host: str, port: int, limits: Limits) -> Server:
    """Listen for OTLP/gRPC; port 0 picks a free one. Raises ConfigError if the port cannot be used."""
    server = grpc.aio.server(options=options(limits))
    for signal, service in SERVICES.items():
        # To the caller a unary call; here a stream, so that the key is checked before the message is read.
        export = grpc.stream_unary_rpc_method_handler(_export(signal, ingest, keys, limits))
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Export": export})])
    address = f"[{host}]:{port}" if ":" in host.strip("[]") and not host.startswith("[") else f"{host}:{port}"
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError as e:
        listen(host, port, "grpc_port").close()  # says why, where gRPC does not
        raise ConfigError(f"cannot listen on {host} with grpc_port = {port}: {e}") from e
    await server.start()
    return Server(server, bound)


Handler = Callable[[Any, Any], Awaitable[bytes]]


def _export(signal: Signal, ingest: "Ingest", keys: Keys, limits: Limits) -> Handler:
    """The Export method of one signal: no error leaves it as UNKNOWN or INTERNAL, which senders do not repeat."""

    async def take(context: Any) -> bytes:
        credential = keys.require(_key(context), "ingest")
        body = await _read(context)
        telemetry.received("grpc", signal, len(body))
        if encoding := _encoding(body):
            body = await bodies.decompress(body, encoding, limits.max_body_bytes)
        if not body:
            return b""
        receipt = await ingest.accept(signal, body, credential)
        return answers.success(signal, receipt.rejected, receipt.message, "proto")

    async def export(_: Any, context: Any) -> bytes:
        began = time.perf_counter()
        error: Exception
        try:
            answer = await take(context)
        except (Refused, Busy) as e:
            error = e
        except Exception as e:  # noqa: BLE001 - `unexpected` logs it
            error = telemetry.unexpected(e)
        else:
            telemetry.count("grpc", signal, 200, began)
            return answer
        telemetry.count("grpc", signal, answers.status_of(error).http, began)
        return await _abort(context, error)

    return export


async def _read(context: Any) -> bytes:
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            body = await context.read()
    except TimeoutError:
        raise Busy(f"the message did not arrive within {READ_TIMEOUT_S} s") from None
    if body is grpc.aio.EOF:
        raise Refused("the call ended without a message")
    return cast(bytes, body)


def _encoding(body: bytes) -> str | None:
    """How a message is compressed. Its first byte tells: no OTLP request starts as gzip or zlib data do."""
    return {0x1F: "gzip", 0x78: "deflate"}.get(body[0]) if body else None


def _key(context: Any) -> bytes:
    return key_of({k.encode(): v.encode() if isinstance(v, str) else v for k, v in context.invocation_metadata()})


async def _abort(context: Any, error: Exception) -> NoReturn:
    if isinstance(error, Unauthenticated | Forbidden):
        telemetry.AUTH_FAILURES.labels(error.code).inc()
    status = answers.rpc_status(error)
    details = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(CODES[status.code], status.message, trailing_metadata=details)
    raise AssertionError("abort returned")
