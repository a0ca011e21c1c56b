"""The whole way of an alert: exporter, server process, evaluation, delivery, a real Alertmanager."""

import socket
import time
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode

from dashboards.commands import config
from tests.conftest import Program
from tests.dashboards.test_serve import Process
from tests.peers.test_alertmanager import Alertmanager, until

TARGETS = """
[[targets]]
name = "am"
kind = "alertmanager"
url = "{alertmanager}"

[[targets]]
name = "never-answers"
kind = "webhook"
url = "{hook}"
"""
ROUTE = {"route": {"receiver": "none"}, "receivers": [{"name": "none"}]}
FAILED_RUNS = 12


@pytest.mark.slow
def test_from_the_last_bad_span_to_alertmanager(tmp_path: Path, program: Program) -> None:
    """Default intervals: Alertmanager holds the alert within 15 s of the last ack, whatever another target does."""
    alertmanager = Alertmanager(program, tmp_path, ROUTE)
    data = tmp_path / "data"
    data.mkdir()
    config.write_examples(data, "slos/")
    hung = socket.create_server(("127.0.0.1", 0))
    hook = f"http://127.0.0.1:{hung.getsockname()[1]}"
    (data / "alerts.toml").write_text(TARGETS.format(alertmanager=alertmanager.url, hook=hook))
    server = Process(data)
    provider = TracerProvider()
    exporter = OTLPSpanExporter(server.addresses["otlp_http"] + "/v1/traces")
    provider.add_span_processor(SimpleSpanProcessor(exporter))  # returns when the span is acknowledged
    try:
        for _ in range(FAILED_RUNS):
            with provider.get_tracer("bad").start_as_current_span(
                "agent.run", attributes={"agent.name": "bad"}
            ) as span:
                span.set_status(Status(StatusCode.ERROR, "gave up"))
        acknowledged = time.monotonic()
        until(lambda: "SloBurn" in alertmanager.alerts())
        took_s = time.monotonic() - acknowledged
        held = alertmanager.alerts()["SloBurn"]["labels"]
    finally:
        provider.shutdown()
        server.end()
        alertmanager.kill()
        hung.close()
    print(f"Alertmanager held it after {took_s:.1f} s")  # noqa: T201 - a figure of the report

    assert took_s < 15
    assert held["agent"] == "bad"
