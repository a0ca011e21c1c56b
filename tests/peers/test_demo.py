"""The demo as a new user meets it: within a minute a loop, a burn, and an alert that really went out."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Program

SOON_S = 60
COMMAND = (sys.executable, "-m", "dashboards.cli", "demo", "--http-port", "0", "--grpc-port", "0", "--port", "0")


def _items(pages: str, what: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{pages}/api/v1/{what}", timeout=10) as reply:
        found: list[dict[str, Any]] = json.load(reply)["items"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("with_alertmanager", [True, False])
def test_a_loop_a_burn_and_an_alert(program: Program, tmp_path: Path, with_alertmanager: bool) -> None:
    """With Alertmanager on PATH the alert comes back from it; without, the built-in receiver has the payload."""
    path = str(program("prometheus-alertmanager").parent) if with_alertmanager else str(tmp_path)
    environment = {**os.environ, "PATH": path, "TMPDIR": str(tmp_path)}
    began = time.monotonic()
    with subprocess.Popen(COMMAND, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout
        try:
            said = "".join(demo.stdout.readline() for _ in range(4))
            (pages,) = re.findall(r"pages are at (\S+)", said)
            told: list[dict[str, Any]] = []
            while {a["name"] for a in told} != {"SloBurn", "AgentFindings"} and time.monotonic() - began < SOON_S:
                time.sleep(0.5)
                told = [alert for alert in _items(pages, "alerts") if alert["notified"]]
            loops = _items(pages, "findings?rule=loop")
            burning = [slo for slo in _items(pages, "slos") if slo["group"].get("agent") == "code-reviewer"]
            with urllib.request.urlopen(f"{pages}/alerts", timeout=10) as reply:
                page = reply.read().decode()
        finally:
            demo.send_signal(signal.SIGTERM)
            demo.communicate(timeout=30)

    assert {a["name"] for a in told} == {"SloBurn", "AgentFindings"}
    assert [finding["agent"] for finding in loops] == ["shop-assistant"]
    assert any(slo["burn"] > 10 for slo in burning)
    assert "receiver spanledger was notified" in page if with_alertmanager else "&#34;alertname&#34;" in page
    assert ("Alertmanager at" in said) == with_alertmanager
    assert list(tmp_path.iterdir()) == []  # what it wrote is gone, and so is who wrote it
    if with_alertmanager:
        (port,) = re.findall(r"Alertmanager at http://127.0.0.1:(\d+)", said)
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2)
