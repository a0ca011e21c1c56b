"""OTLP/HTTP over a real socket: every answer of the specification, and hostile senders."""

import gzip
import json
import os
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress

import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from collector.errors import Busy, Refused, TooLarge
from collector.settings import Limits
from tests.collector.receivers import JSON, PROTO, Receipt, Receiver, receiver

BODY = b"\x0a\x00"  # an ExportTraceServiceRequest with one empty ResourceSpans
MIB = 1 << 20


@pytest.fixture(scope="module")
def shared() -> Iterator[Receiver]:
    """One receiver for the whole module, with small limits."""
    with receiver(Limits(max_body_bytes=2 * MIB, head_timeout_s=1.0, body_grace_s=1.0)) as r:
        yield r


@pytest.fixture
def server(shared: Receiver) -> Receiver:
    """The receiver with a fresh stub behind it."""
    shared.ingest.__init__()  # type: ignore[misc]
    return shared


def status(body: bytes) -> status_pb2.Status:
    """The google.rpc.Status of a protobuf answer."""
    return status_pb2.Status.FromString(body)


def head(server: Receiver, *lines: str) -> bytes:
    """The head of a request for the raw socket."""
    first = ["POST /v1/traces HTTP/1.1", f"Host: 127.0.0.1:{server.http.port}", f"Content-Type: {PROTO}"]
    return "\r\n".join([*first, *lines, "", ""]).encode()


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_sdk_span_exporter(server: Receiver, compression: Compression) -> None:
    """The Python SDK's exporter with its default settings is understood, compressed or not."""
    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=f"{server.url}/v1/traces", compression=compression)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("t").start_as_current_span("tool.call", attributes={"tool.name": "search"}):
        pass
    provider.shutdown()
    [(signal, body)] = server.ingest.bodies
    request = ExportTraceServiceRequest.FromString(body)
    assert signal == "traces"
    assert request.resource_spans[0].scope_spans[0].spans[0].name == "tool.call"


def test_sdk_metric_exporter(server: Receiver) -> None:
    """Metrics of the SDK arrive at their own path."""
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=f"{server.url}/v1/metrics"))
    provider = MeterProvider([reader])
    provider.get_meter("t").create_counter("tokens").add(5)
    provider.shutdown()
    assert {signal for signal, _ in server.ingest.bodies} == {"metrics"}


def test_sdk_log_exporter_path(server: Receiver) -> None:
    """The log exporter's path is the third signal."""
    assert OTLPLogExporter(endpoint=f"{server.url}/v1/logs")._endpoint == f"{server.url}/v1/logs"
    assert server.post(BODY, "/v1/logs")[0] == 200
    assert server.ingest.bodies == [("logs", BODY)]


@pytest.mark.parametrize(("content_type", "empty"), [(PROTO, b""), (JSON, b"{}")])
def test_success_is_empty_and_of_the_same_type(server: Receiver, content_type: str, empty: bytes) -> None:
    """Full success is 200 with an empty message in exactly the request's content type."""
    body = BODY if content_type == PROTO else b'{"resourceSpans":[{}]}'
    code, headers, answer = server.post(body, content_type=content_type)
    assert (code, headers["content-type"], answer) == (200, content_type, empty)
    assert server.ingest.bodies == [("traces", BODY)]


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8 "]
)
def test_content_type_parameters(server: Receiver, content_type: str) -> None:
    """Case and parameters of the content type do not matter; the answer's type has none."""
    code, headers, _ = server.post(b'{"resourceSpans":[{}]}', content_type=content_type)
    assert (code, headers["content-type"]) == (200, JSON)


@pytest.mark.parametrize(("content_type", "body"), [(PROTO, b""), (JSON, b""), (JSON, b"{}")])
def test_empty_request(server: Receiver, content_type: str, body: bytes) -> None:
    """An empty request succeeds at once, before any bookkeeping."""
    assert server.post(body, content_type=content_type)[0] == 200
    assert server.ingest.bodies == []


def test_partial_success(server: Receiver) -> None:
    """Rejected items are a 200 whose body counts and explains them, in JSON as decimal text."""
    server.ingest.receipt = Receipt(3, "3 spans: zero_trace_id")
    code, _, answer = server.post(BODY)
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert (code, partial.rejected_spans, partial.error_message) == (200, 3, "3 spans: zero_trace_id")
    _, _, answer = server.post(b'{"resourceSpans":[{}]}', content_type=JSON)
    assert json.loads(answer) == {"partialSuccess": {"rejectedSpans": "3", "errorMessage": "3 spans: zero_trace_id"}}


def test_json_values_left_out_are_a_warning(server: Receiver) -> None:
    """A JSON value of a wrong type costs itself; the sender is told its name."""
    body = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a","startTimeUnixNano":"soon"}]}]}]}'
    code, _, answer = server.post(body, content_type=JSON)
    assert code == 200
    assert json.loads(answer) == {
        "partialSuccess": {"errorMessage": "values of a wrong type were left out: startTimeUnixNano (1)"}
    }
    request = ExportTraceServiceRequest.FromString(server.ingest.bodies[0][1])
    assert request.resource_spans[0].scope_spans[0].spans[0].name == "a"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"path": "/v1/trace"}, 404),
        ({"path": "/"}, 404),
        ({"method": "GET"}, 405),
        ({"method": "PUT"}, 405),
        ({"method": "OPTIONS"}, 405),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": None}, 415),
        ({"content_encoding": "br"}, 415),
        ({"content_type": JSON}, 400),
        ({"content_encoding": "gzip"}, 400),
    ],
)
def test_refusals(server: Receiver, request_: dict[str, str | None], code: int) -> None:
    """What can never succeed is a 4xx whose body is a google.rpc.Status that says why."""
    got, headers, answer = server.post(BODY, **request_)  # type: ignore[arg-type]
    assert got == code
    if request_.get("content_type") == JSON:
        assert headers["content-type"] == JSON
        assert json.loads(answer)["message"].startswith("the body is not valid JSON")
    else:
        assert headers["content-type"] == PROTO
        assert status(answer).message
    assert headers.get("allow") == ("POST" if code == 405 else None)
    assert "retry-after" not in headers
    assert server.ingest.bodies == []


@pytest.mark.parametrize(
    ("error", "code", "retry_after"),
    [
        (Refused("not a message"), 400, None),
        (TooLarge("too many"), 413, None),
        (Busy("full", retry_after_s=60), 503, "5"),
        (Busy("full", retry_after_s=0), 503, "1"),
        (RuntimeError("a secret"), 503, "1"),
    ],
)
def test_errors_of_the_next_stage(server: Receiver, error: Exception, code: int, retry_after: str | None) -> None:
    """An error becomes its status; retryable ones say when, unexpected ones are never 500 and keep their text."""
    server.ingest.error = error
    got, headers, answer = server.post(BODY)
    assert (got, headers.get("retry-after")) == (code, retry_after)
    assert "secret" not in status(answer).message
    detail = any_pb2.Any.FromString(status(answer).details[0].SerializeToString()) if status(answer).details else None
    if retry_after:
        info = error_details_pb2.RetryInfo()
        assert detail
        assert detail.Unpack(info)
        assert info.retry_delay.seconds == int(retry_after)
    server.ingest.error = None
    assert server.post(BODY)[0] == 200


def test_gzip_forms(server: Receiver) -> None:
    """Gzip of one or several members, zlib and bare deflate all arrive as what they hold."""
    big = os.urandom(1000) * 500
    bare = zlib.compressobj(wbits=-15)
    cases = [
        ("gzip", gzip.compress(BODY)),
        ("gzip", gzip.compress(BODY[:1]) + gzip.compress(BODY[1:])),
        ("deflate", zlib.compress(BODY)),
        ("deflate", bare.compress(BODY) + bare.flush()),
        ("GZIP", gzip.compress(big)),
    ]
    for encoding, body in cases:
        assert server.post(body, content_encoding=encoding)[0] == 200
    assert [body for _, body in server.ingest.bodies] == [BODY] * 4 + [big]


def test_truncated_gzip(server: Receiver) -> None:
    """Gzip data that ends early is refused for good, with the reason."""
    code, _, answer = server.post(gzip.compress(os.urandom(3000))[:2000], content_encoding="gzip")
    assert code == 400
    assert "ends early" in status(answer).message


def test_gzip_bomb(server: Receiver) -> None:
    """A body that is too large only after decompression is a 413."""
    code, _, answer = server.post(gzip.compress(bytes(64 * MIB)), content_encoding="gzip")
    assert code == 413
    assert "after decompression" in status(answer).message


def test_declared_too_large(server: Receiver) -> None:
    """A Content-Length beyond the limit is refused at once, without waiting for the body, and ends the connection."""
    began = time.monotonic()
    answer = server.raw(head(server, f"Content-Length: {10 << 30}") + b"\n" * 1024, close=True)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()
    assert time.monotonic() - began < 0.8


def test_too_large_is_seen_by_a_sender_that_writes_all(server: Receiver) -> None:
    """A sender that only reads after writing the whole oversized body still gets the 413, not a reset."""
    for lines, body in (
        ([f"Content-Length: {16 * MIB}"], bytes(16 * MIB)),
        (["Transfer-Encoding: chunked"], (b"100000\r\n" + bytes(MIB) + b"\r\n") * 16 + b"0\r\n\r\n"),
    ):
        assert server.raw(head(server, *lines) + body).startswith(b"HTTP/1.1 413 ")


def test_chunked_body(server: Receiver) -> None:
    """A body without Content-Length is read to its end."""
    answer = server.raw(
        head(server, "Transfer-Encoding: chunked", "Connection: close") + b"2\r\n" + BODY + b"\r\n0\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert server.ingest.bodies == [("traces", BODY)]


def test_early_end(server: Receiver) -> None:
    """A sender that stops in mid-body is told so, and nothing of it is used."""
    answer = server.raw(head(server, "Content-Length: 4000") + bytes(100), close=True)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"ended before" in answer
    assert server.ingest.bodies == []


def test_half_closed_sender_gets_its_answer(server: Receiver) -> None:
    """Closing the sending side after a whole request does not lose the answer."""
    server.ingest.delay_s = 0.2
    assert server.raw(head(server, "Content-Length: 2") + BODY, close=True).startswith(b"HTTP/1.1 200 ")


def test_huge_head(server: Receiver) -> None:
    """A megabyte of header is a 431 that the sender can read."""
    answer = server.raw(head(server, "X-A: " + "a" * MIB, "Content-Length: 0"))
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_not_http(server: Receiver) -> None:
    """What is no HTTP at all is a 400."""
    assert server.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.slow
def test_slow_senders_are_cut_and_hurt_nobody(server: Receiver) -> None:
    """Heads and bodies that drip are ended after their time, with an answer, while others are served."""
    drips = []
    for i in range(40):
        c = socket.create_connection(("127.0.0.1", server.http.port), 5)
        c.sendall(head(server, "Content-Length: 5000") if i % 2 else head(server)[:-2])
        drips.append(c)
    worst, end = 0.0, time.monotonic() + 2.5
    while time.monotonic() < end:
        began = time.monotonic()
        assert server.post(BODY)[0] == 200
        worst = max(worst, time.monotonic() - began)
        for i, c in enumerate(drips):
            with suppress(OSError):
                c.send(b"x" if i % 2 else b"X-A: b\r\n")
        time.sleep(0.1)
    answers = set()
    for c in drips:
        c.settimeout(0.5)
        try:
            answers.add(c.recv(12))
        except ConnectionError:
            answers.add(b"reset")
        c.close()
    assert answers <= {b"HTTP/1.1 408", b"HTTP/1.1 503", b"reset"}
    assert answers & {b"HTTP/1.1 408", b"HTTP/1.1 503"}
    assert worst < 1


@pytest.mark.slow
def test_silent_connection_is_cut(server: Receiver) -> None:
    """A connection that never says anything does not stay."""
    began = time.monotonic()
    assert server.raw(b"").startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 4


def test_keep_alive(server: Receiver) -> None:
    """Many requests share a connection, also after a refusal whose body was read."""
    with socket.create_connection(("127.0.0.1", server.http.port), 5) as c:
        for body, expected in ((BODY, b"200"), (b"", b"200"), (BODY, b"200")):
            c.sendall(head(server, f"Content-Length: {len(body)}") + body)
            assert c.recv(4096)[9:12] == expected
        c.sendall(head(server, "Content-Encoding: gzip", "Content-Length: 2") + BODY)
        assert c.recv(4096)[9:12] == b"400"
        c.sendall(head(server, "Content-Length: 2") + BODY)
        assert c.recv(4096)[9:12] == b"200"


def test_reset_in_mid_body(server: Receiver) -> None:
    """A sender that vanishes leaves nothing behind."""
    for _ in range(20):
        c = socket.create_connection(("127.0.0.1", server.http.port), 5)
        c.sendall(head(server, "Content-Length: 5000") + bytes(100))
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()
    assert server.post(BODY)[0] == 200


def test_bytes_in_flight_are_bounded() -> None:
    """Beyond the bound of all bodies together a sender is asked to come again, and the bound is free afterwards."""
    with receiver(Limits(max_inflight_bytes=MIB)) as r:
        with socket.create_connection(("127.0.0.1", r.http.port), 5) as c:
            c.sendall(head(r, f"Content-Length: {2 * MIB}") + bytes(MIB))
            time.sleep(0.3)  # nothing tells when the first half is in hand, and a second sender must not be before it
            code, headers, _ = r.post(bytes(MIB // 2))
            assert (code, headers["retry-after"]) == (503, "1")
        assert r.post_until(200, bytes(MIB // 2))[0] == 200


def test_keys() -> None:
    """With an ingest key set, senders without it are 401; both headers carry it."""
    with receiver(ingest_key="k" * 20) as r:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"x_api_key": "k" * 19}):
            code, answer_headers, answer = r.post(BODY, **headers)
            assert (code, answer_headers["www-authenticate"]) == (401, "Bearer")
            assert status(answer).code == 16
        for headers in (
            {"authorization": "Bearer " + "k" * 20},
            {"authorization": "bearer " + "k" * 20},
            {"x_api_key": "k" * 20},
        ):
            assert r.post(BODY, **headers)[0] == 200
        assert {c.name for c in r.ingest.credentials} == {"ingest-key"}


def test_cors_is_off_by_default(server: Receiver) -> None:
    """No origin is allowed unless configured."""
    assert "access-control-allow-origin" not in server.post(BODY, origin="https://a.example")[1]


def test_cors_for_allowed_origins() -> None:
    """An allowed origin gets its preflight and its answers, another one does not."""
    with receiver(Limits(cors_origins=("https://a.example",))) as r:
        code, headers, _ = r.post(b"", method="OPTIONS", origin="https://a.example", content_type=None)
        assert code == 204
        assert headers["access-control-allow-origin"] == "https://a.example"
        assert "content-encoding" in headers["access-control-allow-headers"]
        assert r.post(BODY, origin="https://a.example")[1]["access-control-allow-origin"] == "https://a.example"
        assert r.post(b"", "/", "OPTIONS", origin="https://b.example")[0] == 404


def test_stop_answers_what_is_in_hand() -> None:
    """Stopping waits for the request that is being stored; its sender gets the acknowledgement."""
    with receiver() as r, socket.create_connection(("127.0.0.1", r.http.port), 5) as c:
        r.ingest.delay_s = 0.5
        c.sendall(head(r, "Content-Length: 2") + BODY)
        assert r.ingest.begun.wait(10)
        r.run(r.http.stop(5))
        assert c.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_stop_beyond_its_grace_asks_to_come_again() -> None:
    """Who is cut off by a shutdown hears a retryable status, never a 500."""
    with receiver() as r, socket.create_connection(("127.0.0.1", r.http.port), 5) as c:
        r.ingest.delay_s = 30
        c.sendall(head(r, "Content-Length: 2") + BODY)
        assert r.ingest.begun.wait(10)
        r.run(r.http.stop(0.3))
        assert c.recv(4096).startswith(b"HTTP/1.1 503 ")
