"""OTLP/gRPC with the real client library and the real exporters."""

import os
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from collector.errors import Busy, ConfigError, Refused, TooLarge
from collector.grpc import SERVICES, serve
from collector.identity import Keys
from collector.settings import Limits, Settings
from tests.collector.receivers import Ingest, Receipt, Receiver, receiver

BODY = b"\x0a\x00"
MIB = 1 << 20


@pytest.fixture(scope="module")
def shared() -> Iterator[Receiver]:
    """One receiver for the whole module, with a limit of 2 MiB."""
    with receiver(Limits(max_body_bytes=2 * MIB)) as r:
        yield r


@pytest.fixture
def server(shared: Receiver) -> Receiver:
    """The receiver with a fresh stub behind it."""
    shared.ingest.__init__()  # type: ignore[misc]
    return shared


def call(server: Receiver, body: bytes, signal: str = "traces", **kwargs: Any) -> bytes:
    """One Export call on a channel of its own."""
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc_address, options=options) as channel:
        export = channel.unary_unary(f"/{SERVICES[signal]}/Export")  # type: ignore[index]
        return bytes(export(body, timeout=10, **kwargs))


def refused(server: Receiver, body: bytes, **kwargs: Any) -> grpc.RpcError:
    """The error of a call that must fail."""
    with pytest.raises(grpc.RpcError) as e:
        call(server, body, **kwargs)
    return e.value


def details(error: grpc.RpcError) -> status_pb2.Status:
    """The google.rpc.Status of a failed call."""
    found = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
    return status_pb2.Status.FromString(found)


@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate]
)
def test_sdk_span_exporter(server: Receiver, compression: grpc.Compression) -> None:
    """The Python SDK's exporter with its default settings is understood, compressed or not."""
    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=server.grpc_address, insecure=True, compression=compression)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("t").start_as_current_span("tool.call", attributes={"tool.name": "search" * 100}):
        pass
    provider.shutdown()
    [(signal, body)] = server.ingest.bodies
    request = ExportTraceServiceRequest.FromString(body)
    assert signal == "traces"
    assert request.resource_spans[0].scope_spans[0].spans[0].name == "tool.call"


def test_sdk_metric_exporter(server: Receiver) -> None:
    """Metrics of the SDK arrive at their own service."""
    exporter = OTLPMetricExporter(endpoint=server.grpc_address, insecure=True)
    provider = MeterProvider([PeriodicExportingMetricReader(exporter)])
    provider.get_meter("t").create_counter("tokens").add(5)
    provider.shutdown()
    assert {signal for signal, _ in server.ingest.bodies} == {"metrics"}


@pytest.mark.parametrize("signal", list(SERVICES))
def test_success_is_empty(server: Receiver, signal: str) -> None:
    """Full success is an empty message, for every signal; so is an empty request, before any bookkeeping."""
    assert call(server, BODY, signal) == b""
    assert call(server, b"", signal) == b""
    assert server.ingest.bodies == [(signal, BODY)]


def test_partial_success(server: Receiver) -> None:
    """Rejected items are OK with a count and a reason."""
    server.ingest.receipt = Receipt(2, "2 spans: bad_trace_id")
    partial = ExportTraceServiceResponse.FromString(call(server, BODY)).partial_success
    assert (partial.rejected_spans, partial.error_message) == (2, "2 spans: bad_trace_id")


@pytest.mark.parametrize(
    ("error", "code", "retry_after_s"),
    [
        (Refused("not a message"), grpc.StatusCode.INVALID_ARGUMENT, None),
        (TooLarge("too many"), grpc.StatusCode.RESOURCE_EXHAUSTED, None),
        (Busy("full", retry_after_s=9), grpc.StatusCode.UNAVAILABLE, 5),
        (RuntimeError("a secret"), grpc.StatusCode.UNAVAILABLE, 1),
    ],
)
def test_errors_of_the_next_stage(
    server: Receiver, error: Exception, code: grpc.StatusCode, retry_after_s: int | None
) -> None:
    """An error becomes its code, with RetryInfo where it is worth repeating; nothing leaks as UNKNOWN."""
    server.ingest.error = error
    got = refused(server, BODY)
    status = details(got)
    infos = [d for d in status.details if d.Is(error_details_pb2.RetryInfo.DESCRIPTOR)]
    assert got.code() is code
    assert status.code == code.value[0]
    assert "secret" not in got.details()
    assert bool(infos) == (retry_after_s is not None)
    for info in infos:
        retry = error_details_pb2.RetryInfo()
        info.Unpack(retry)
        assert retry.retry_delay.seconds == retry_after_s


def test_message_too_large(server: Receiver) -> None:
    """A message beyond the limit, before or after decompression, is RESOURCE_EXHAUSTED without RetryInfo."""
    for body, compression in ((os.urandom(3 * MIB), None), (bytes(64 * MIB), grpc.Compression.Gzip)):
        error = refused(server, body, compression=compression)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert not [d for d in details(error).details if d.Is(error_details_pb2.RetryInfo.DESCRIPTOR)]
    assert call(server, BODY) == b""


def test_large_compressed_message(server: Receiver) -> None:
    """A compressed message within the limit arrives whole."""
    body = os.urandom(1000) * 1500
    call(server, body, compression=grpc.Compression.Gzip)
    assert server.ingest.bodies == [("traces", body)]


def test_corrupt_compression(server: Receiver) -> None:
    """Bytes that start like gzip and are not are INVALID_ARGUMENT: no OTLP message starts so."""
    assert refused(server, b"\x1f\x8b\x08\x00 nonsense").code() is grpc.StatusCode.INVALID_ARGUMENT


def test_unknown_method(server: Receiver) -> None:
    """Other services are UNIMPLEMENTED."""
    with grpc.insecure_channel(server.grpc_address) as channel, pytest.raises(grpc.RpcError) as e:
        channel.unary_unary("/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export")(
            BODY, timeout=5
        )
    assert e.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_caller_hangs_up(server: Receiver) -> None:
    """A caller that gives up before the acknowledgement does not disturb the next one."""
    server.ingest.delay_s = 0.5
    with grpc.insecure_channel(server.grpc_address) as channel, pytest.raises(grpc.RpcError) as e:
        channel.unary_unary(f"/{SERVICES['traces']}/Export")(BODY, timeout=0.1)
    assert e.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    server.ingest.delay_s = 0
    assert call(server, BODY) == b""


def test_keys() -> None:
    """With an ingest key set, callers without it are UNAUTHENTICATED; both metadata keys carry it."""
    with receiver(ingest_key="k" * 20) as r:
        for metadata in ((), (("authorization", "Bearer wrong"),), (("x-api-key", "k" * 19),)):
            assert refused(r, BODY, metadata=metadata).code() is grpc.StatusCode.UNAUTHENTICATED
        for metadata in ((("authorization", "Bearer " + "k" * 20),), (("x-api-key", "k" * 20),)):
            assert call(r, BODY, metadata=metadata) == b""
        assert {c.name for c in r.ingest.credentials} == {"ingest-key"}


def test_port_in_use(server: Receiver) -> None:
    """A second receiver on the port is an error that names port and setting, not silent sharing."""
    ingest: Any = Ingest()
    with pytest.raises(ConfigError, match=rf"grpc_port = {server.grpc.port} on 127.0.0.1 is in use .*--grpc-port"):
        server.run(serve(ingest, Keys.of(Settings()), "127.0.0.1", server.grpc.port, Limits()))


def test_stop_answers_what_is_in_hand() -> None:
    """Stopping waits for the call that is being stored; its sender gets the acknowledgement."""
    with receiver() as r, grpc.insecure_channel(r.grpc_address) as channel:
        r.ingest.delay_s = 0.5
        pending = channel.unary_unary(f"/{SERVICES['traces']}/Export").future(BODY, timeout=5)
        assert r.ingest.begun.wait(10)
        r.run(r.grpc.stop(5))
        assert pending.result() == b""


def test_call_without_a_message(server: Receiver) -> None:
    """A call that ends before its message is INVALID_ARGUMENT."""
    with grpc.insecure_channel(server.grpc_address) as channel, pytest.raises(grpc.RpcError) as e:
        channel.stream_unary(f"/{SERVICES['traces']}/Export")(iter(()), timeout=5)
    assert e.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_key_is_checked_before_the_message_is_read() -> None:
    """Who has no key is refused while still sending."""

    def never_ending() -> Iterator[bytes]:
        time.sleep(3)
        yield BODY

    with receiver(ingest_key="k" * 20) as r, grpc.insecure_channel(r.grpc_address) as channel:
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as e:
            channel.stream_unary(f"/{SERVICES['traces']}/Export")(never_ending(), timeout=5)
        assert e.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert time.monotonic() - began < 2
