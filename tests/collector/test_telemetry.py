"""The receiver's own metrics and log lines."""

import json
import logging

from prometheus_client import generate_latest

from collector import telemetry
from collector.errors import Busy
from tests.collector.receivers import receiver


def raised(text: str) -> Exception:
    """An exception with a traceback."""
    try:
        raise ValueError(text)
    except ValueError as e:
        return e


def test_log_line() -> None:
    """A line is one JSON object with its extra fields; control characters in it cannot forge another."""
    record = logging.makeLogRecord(
        {"name": "n", "levelno": 30, "levelname": "WARNING", "msg": "seen %s", "args": ("a\n\x1b[31mb",), "bytes": 5}
    )
    text = telemetry.JsonFormatter().format(record)
    line = json.loads(text)
    assert "\n" not in text
    assert "\x1b" not in text
    assert (line["level"], line["message"], line["bytes"]) == ("warning", "seen a\n\x1b[31mb", 5)
    assert line["time"].endswith("Z")


def test_unexpected_errors_are_logged_without_their_text() -> None:
    """An unexpected error is found again by its correlation id; its text, which may quote telemetry, is not written."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(telemetry.JsonFormatter().format(record))

    handler = Keep()
    telemetry.log.addHandler(handler)
    try:
        busy = telemetry.unexpected(raised("a prompt"))
    finally:
        telemetry.log.removeHandler(handler)
    [line] = [json.loads(text) for text in lines]
    assert isinstance(busy, Busy)
    assert line["correlation_id"] in busy.reason
    assert line["error"] == "ValueError"
    assert "raised" in line["trace"][0]
    assert "a prompt" not in lines[0] + busy.reason


def value(name: str, **labels: str) -> float:
    """A metric's value now; 0 if it has none."""
    return telemetry.REGISTRY.get_sample_value(name, labels) or 0.0


def test_requests_are_counted() -> None:
    """Answers are counted by transport, signal and status, refused credentials by reason, bytes as they came."""
    ok = {"transport": "http", "signal": "traces", "status": "200"}
    lost = {"transport": "http", "signal": "none", "status": "404"}
    before = value("spanledger_otlp_requests_total", **ok), value("spanledger_otlp_requests_total", **lost)
    failures = value("auth_failures_total", reason="unauthenticated")
    size = value("spanledger_otlp_body_bytes_total", transport="http", signal="traces")
    with receiver(ingest_key="k" * 20) as r:
        assert r.post(b"\x0a\x00", x_api_key="k" * 20)[0] == 200
        assert r.post(b"\x0a\x00")[0] == 401
        assert r.post(b"\x0a\x00", "/somewhere")[0] == 404
    after = value("spanledger_otlp_requests_total", **ok), value("spanledger_otlp_requests_total", **lost)
    assert (after[0] - before[0], after[1] - before[1]) == (1, 1)
    assert value("auth_failures_total", reason="unauthenticated") - failures == 1
    assert value("spanledger_otlp_body_bytes_total", transport="http", signal="traces") - size == 2
    assert value("spanledger_otlp_http_inflight_bytes") == 0
    assert b"spanledger_otlp_request_seconds_bucket" in generate_latest(telemetry.REGISTRY)
