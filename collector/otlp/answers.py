"""Answers of the OTLP transports: one table of statuses, and the bodies in both encodings.

HTTP and gRPC say the same: what an exception means stands once, in STATUS.
"""

import json
from typing import Any, Literal, NamedTuple

from google.protobuf import any_pb2, json_format
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.errors import Busy, Forbidden, Refused, TooLarge, Unauthenticated

Signal = Literal["traces", "metrics", "logs"]
Encoding = Literal["proto", "json"]
CONTENT_TYPE: dict[Encoding, bytes] = {"proto": b"application/x-protobuf", "json": b"application/json"}
SUCCESS: dict[Encoding, bytes] = {"proto": b"", "json": b"{}"}

_RESPONSES: dict[Signal, tuple[Any, str]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
}

# SDK exporters give up after 10 s in all: a longer wait would lose their batch.
RETRY_AFTER_S = (1, 5)


class UnknownPath(Refused):
    """No signal is received at this path."""


class WrongMethod(Refused):
    """OTLP/HTTP is POST only."""


class UnsupportedMedia(Refused):
    """A Content-Type or Content-Encoding that is not spoken here."""


class Status(NamedTuple):
    """What a failure is on the wire. `grpc` is a google.rpc.Code; a sender repeats what is `retryable`."""

    http: int
    grpc: int
    retryable: bool


# The first row whose class matches. The unexpected, a failing store included, is retryable: on a plain 500, INTERNAL
# or UNKNOWN a sender drops its data.
STATUS: tuple[tuple[type[Exception], Status], ...] = (
    (Unauthenticated, Status(401, code_pb2.UNAUTHENTICATED, False)),
    (Forbidden, Status(403, code_pb2.PERMISSION_DENIED, False)),
    (UnknownPath, Status(404, code_pb2.UNIMPLEMENTED, False)),
    (WrongMethod, Status(405, code_pb2.UNIMPLEMENTED, False)),
    (TooLarge, Status(413, code_pb2.RESOURCE_EXHAUSTED, False)),
    (UnsupportedMedia, Status(415, code_pb2.UNIMPLEMENTED, False)),
    (Refused, Status(400, code_pb2.INVALID_ARGUMENT, False)),
    (Busy, Status(503, code_pb2.UNAVAILABLE, True)),
    (Exception, Status(503, code_pb2.UNAVAILABLE, True)),
)


def status_of(error: Exception) -> Status:
    """The row of STATUS for this error."""
    return next(status for kind, status in STATUS if isinstance(error, kind))


def reason_of(error: Exception) -> str:
    """What the sender is told. An unexpected error's own text stays inside: it may quote what was sent."""
    if isinstance(error, Refused | Busy):
        return error.reason
    return f"unexpected {type(error).__name__}; the receiver's log says more"


def retry_after_s(error: Exception) -> int:
    """Seconds after which a retryable request should be sent again."""
    least, most = RETRY_AFTER_S
    return max(least, min(most, error.retry_after_s)) if isinstance(error, Busy) else least


def rpc_status(error: Exception) -> status_pb2.Status:
    """google.rpc.Status with BadRequest (undecodable) or RetryInfo (retryable) as its detail."""
    status, reason = status_of(error), reason_of(error)
    answer = status_pb2.Status(code=status.grpc, message=reason)
    detail = any_pb2.Any()
    if status.retryable:
        detail.Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=retry_after_s(error))))
        answer.details.append(detail)
    elif status.http == 400:
        violation = error_details_pb2.BadRequest.FieldViolation(field="body", description=reason)
        detail.Pack(error_details_pb2.BadRequest(field_violations=[violation]))
        answer.details.append(detail)
    return answer


def failure(error: Exception, encoding: Encoding) -> bytes:
    """The body of a 4xx or 5xx."""
    status = rpc_status(error)
    if encoding == "proto":
        return bytes(status.SerializeToString())
    return json.dumps(json_format.MessageToDict(status)).encode()


def success(signal: Signal, rejected: int, message: str, encoding: Encoding) -> bytes:
    """The Export...ServiceResponse: empty, or partial_success with what was rejected and why (or a warning)."""
    if not rejected and not message:
        return SUCCESS[encoding]
    kind, rejected_field = _RESPONSES[signal]
    response = kind()
    setattr(response.partial_success, rejected_field, rejected)
    response.partial_success.error_message = message
    if encoding == "proto":
        return bytes(response.SerializeToString())
    return json.dumps(json_format.MessageToDict(response)).encode()
