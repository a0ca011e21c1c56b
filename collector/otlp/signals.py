"""Counting what metrics and logs requests hold."""

from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collector.errors import Refused


def count_log_records(body: bytes) -> int:
    """Log records in an ExportLogsServiceRequest. Raises Refused when the bytes are no such message."""
    request = _parse(ExportLogsServiceRequest, body)
    return sum(len(s.log_records) for r in request.resource_logs for s in r.scope_logs)


def count_data_points(body: bytes) -> int:
    """Data points in an ExportMetricsServiceRequest. Raises Refused when the bytes are no such message."""
    request = _parse(ExportMetricsServiceRequest, body)
    total = 0
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                total += len(getattr(metric, kind).data_points) if kind else 0
    return total


def _parse(message: Any, body: bytes) -> Any:
    try:
        return message.FromString(body)
    except DecodeError as e:
        raise Refused(
            f"the body of {len(body)} bytes is not a valid {message.DESCRIPTOR.name} protobuf message: "
            "truncated, nested too deep, or another format than its Content-Type says"
        ) from e
