"""A real Prometheus scrapes a real server; promtool finds nothing to say about what it reads."""

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from sample_traces import play
from tests.conftest import Program
from tests.dashboards.test_serve import Process

CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: spanledger
    static_configs: [{{targets: ["{target}"]}}]
"""


def _ask(port: int, query: str) -> list[dict[str, Any]]:
    """Labels and values of the series that Prometheus answers with."""
    address = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(address, timeout=2) as reply:
            found: list[dict[str, Any]] = json.load(reply)["data"]["result"]
    except OSError:
        return []
    return found


@pytest.mark.slow
def test_prometheus_scrapes_a_server(tmp_path: Path, program: Program) -> None:
    """Sample agents run; once their runs have settled Prometheus knows runs, tokens, money and latencies of each."""
    server = Process(tmp_path / "data")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "prometheus.yml").write_text(CONFIG.format(target=server.addresses["pages"].removeprefix("http://")))
    arguments = (
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with (tmp_path / "prometheus.log").open("wb") as log:
        prometheus = subprocess.Popen([program("prometheus"), *arguments], stdout=log, stderr=log)
    try:
        play.play(server.addresses["otlp_http"])
        end = time.monotonic() + 40
        while not _ask(port, "agent_runs_total") and time.monotonic() < end:
            time.sleep(0.5)
        sums = {
            name: sum(float(row["value"][1]) for row in _ask(port, name))
            for name in ("agent_runs_total", "llm_tokens_total", "cost_usd_total", "tool_latency_seconds_count")
        }
        runs = {row["metric"]["agent"] for row in _ask(port, "agent_runs_total")}
        up = _ask(port, "up")
        with urllib.request.urlopen(server.addresses["pages"] + "/metrics", timeout=5) as reply:
            text = reply.read()
    finally:
        prometheus.kill()
        prometheus.wait()
        server.end()
    said = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True)

    assert [row["value"][1] for row in up] == ["1"]
    assert sums["agent_runs_total"] == sum(scenario["runs"] for scenario in play.expected().values())
    assert all(sums.values())
    assert len(runs) > 5
    assert (said.returncode, said.stdout, said.stderr) == (0, b"", b"")
