"""The status table, row by row, and the bodies of answers."""

import json

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from collector.errors import Busy, ConfigError, Forbidden, Refused, StoreError, TooLarge, Unauthenticated
from collector.otlp import answers
from collector.otlp.answers import STATUS, Signal, UnknownPath, UnsupportedMedia, WrongMethod

RETRYABLE_HTTP = {429, 502, 503, 504}
RETRYABLE_GRPC = {
    code_pb2.CANCELLED,
    code_pb2.DEADLINE_EXCEEDED,
    code_pb2.ABORTED,
    code_pb2.OUT_OF_RANGE,
    code_pb2.UNAVAILABLE,
    code_pb2.DATA_LOSS,
}


@pytest.mark.parametrize(
    ("error", "http", "grpc", "retryable"),
    [
        (Unauthenticated("r"), 401, "UNAUTHENTICATED", False),
        (Forbidden("r"), 403, "PERMISSION_DENIED", False),
        (UnknownPath("r"), 404, "UNIMPLEMENTED", False),
        (WrongMethod("r"), 405, "UNIMPLEMENTED", False),
        (TooLarge("r"), 413, "RESOURCE_EXHAUSTED", False),
        (UnsupportedMedia("r"), 415, "UNIMPLEMENTED", False),
        (Refused("r"), 400, "INVALID_ARGUMENT", False),
        (Busy("r"), 503, "UNAVAILABLE", True),
        (StoreError("file"), 503, "UNAVAILABLE", True),
        (ValueError("content"), 503, "UNAVAILABLE", True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_status(error: Exception, http: int, grpc: str, retryable: bool) -> None:
    """Each kind of error has its HTTP status, its gRPC code, and is retryable in both or in neither."""
    status = answers.status_of(error)
    assert (status.http, code_pb2.Code.Name(status.grpc), status.retryable) == (http, grpc, retryable)
    assert (http in RETRYABLE_HTTP) == (status.grpc in RETRYABLE_GRPC) == retryable
    details = [d for d in answers.rpc_status(error).details if d.Is(error_details_pb2.RetryInfo.DESCRIPTOR)]
    assert bool(details) == retryable


def test_every_row_is_reachable() -> None:
    """No row hides a later one."""
    for i, (kind, _) in enumerate(STATUS):
        assert not any(issubclass(kind, earlier) for earlier, _ in STATUS[:i])


@pytest.mark.parametrize(("asked", "told"), [(0, 1), (1, 1), (4, 4), (5, 5), (600, 5)])
def test_retry_after(asked: int, told: int) -> None:
    """A sender is told to wait 1 to 5 s: with more, SDK exporters give up and lose the batch."""
    assert answers.retry_after_s(Busy("full", retry_after_s=asked)) == told
    info = error_details_pb2.RetryInfo()
    assert answers.rpc_status(Busy("full", retry_after_s=asked)).details[0].Unpack(info)
    assert info.retry_delay.seconds == told


def test_failure_bodies() -> None:
    """A failure is the same google.rpc.Status in both encodings, an undecodable body with its BadRequest detail."""
    status = status_pb2.Status.FromString(answers.failure(Refused("cut short"), "proto"))
    detail = error_details_pb2.BadRequest()
    assert (status.code, status.message) == (code_pb2.INVALID_ARGUMENT, "cut short")
    assert status.details[0].Unpack(detail)
    assert json.loads(answers.failure(Refused("cut short"), "json")) == {
        "code": 3,
        "message": "cut short",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": "body", "description": "cut short"}],
            }
        ],
    }


@pytest.mark.parametrize("error", [ConfigError("my secret"), KeyError("my secret"), StoreError("my secret")])
def test_unexpected_errors_keep_their_text(error: Exception) -> None:
    """What an unexpected error says stays inside."""
    assert b"secret" not in answers.failure(error, "json")


@pytest.mark.parametrize(
    ("signal", "field"),
    [("traces", "rejectedSpans"), ("metrics", "rejectedDataPoints"), ("logs", "rejectedLogRecords")],
)
def test_partial_success(signal: Signal, field: str) -> None:
    """Each signal names its rejected items in its own way; 64-bit counts are text in JSON."""
    assert json.loads(answers.success(signal, 7, "why", "json")) == {
        "partialSuccess": {field: "7", "errorMessage": "why"}
    }


def test_success_in_protobuf() -> None:
    """Full success is empty; a warning is a message without a count."""
    assert answers.success("logs", 0, "", "proto") == b""
    assert answers.success("logs", 0, "", "json") == b"{}"
    warning = ExportLogsServiceResponse.FromString(answers.success("logs", 0, "note", "proto"))
    assert (warning.partial_success.rejected_log_records, warning.partial_success.error_message) == (0, "note")
    points = ExportMetricsServiceResponse.FromString(answers.success("metrics", 3, "", "proto"))
    assert points.partial_success.rejected_data_points == 3
