"""The receiver's own metrics and logs. Nothing that an emitter sent is ever in them."""

import datetime
import functools
import json
import logging
import secrets
import sys
import time
import traceback
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from collector.errors import Busy

# Own registry: only what is named here is exposed. Labels take few, known values.
REGISTRY = CollectorRegistry()

REQUESTS = Counter(
    "spanledger_otlp_requests",
    "OTLP requests by HTTP status, gRPC ones by the HTTP status with the same meaning.",
    ["transport", "signal", "status"],
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "spanledger_otlp_request_seconds",
    "Time from the head of a request to its answer, which follows the commit.",
    ["transport"],
    registry=REGISTRY,
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
BODY_BYTES = Counter(
    "spanledger_otlp_body_bytes",
    "Bytes of request bodies, as they came.",
    ["transport", "signal"],
    registry=REGISTRY,
)
INFLIGHT_BYTES = Gauge(
    "spanledger_otlp_http_inflight_bytes", "Bytes of HTTP request bodies held in memory.", registry=REGISTRY
)
AUTH_FAILURES = Counter("auth_failures", "Requests refused for their credential.", ["reason"], registry=REGISTRY)

log = logging.getLogger(__name__)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def count(transport: str, signal: str | None, status: int, began: float) -> None:
    """One answered request; `began` is the `time.perf_counter()` at its start."""
    _answered(transport, signal or "none", status).inc()
    _seconds(transport).observe(time.perf_counter() - began)


def received(transport: str, signal: str, size_bytes: int) -> None:
    """One request body, as it came."""
    _bodies(transport, signal).inc(size_bytes)


@functools.cache
def _answered(transport: str, signal: str, status: int) -> Counter:
    return REQUESTS.labels(transport, signal, str(status))


@functools.cache
def _bodies(transport: str, signal: str) -> Counter:
    return BODY_BYTES.labels(transport, signal)


@functools.cache
def _seconds(transport: str) -> Histogram:
    return REQUEST_SECONDS.labels(transport)


def unexpected(error: Exception) -> Busy:
    """Log an error that should not have happened; what the sender is told names the log line, not its content."""
    reference = secrets.token_hex(4)
    log.error("a request failed unexpectedly", exc_info=error, extra={"correlation_id": reference})
    return Busy(f"unexpected {type(error).__name__}: the receiver's log says more under correlation id {reference}")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the fields given as `extra`.

    Of an exception the type and the places are written, not its text: that may quote telemetry.
    """

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((k, v) for k, v in vars(record).items() if k not in _STANDARD)
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            line["trace"] = [f"{f.filename}:{f.lineno} {f.name}" for f in frames]
        return json.dumps(line, default=str)


def configure_logging(level: str) -> None:
    """JSON lines on stderr, from `level` (debug, info, warning, error) on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
