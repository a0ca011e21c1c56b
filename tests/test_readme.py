"""The README's examples, done as they stand there against a server that was really started."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sample_traces import play
from tests.needed import ROOT

pytestmark = pytest.mark.slow

SPANLEDGER = (sys.executable, "-m", "dashboards.cli")
README = (ROOT / "README.md").read_text()
SOON_S = 10.0
DEMO_S = 20.0


@dataclass(frozen=True)
class Started:
    """A server in a process of its own: what it said when it was ready, and its data folder."""

    addresses: dict[str, Any]
    data: Path


def _ask(data: Path, *command: str) -> Any:
    """The answer of a command, as JSON."""
    asked = [*SPANLEDGER, *command, "--json", "--data", str(data)]
    return json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)


@contextmanager
def _process(command: str, data: Path, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """`spanledger serve` or `demo` on free ports; ended by SIGTERM."""
    ports = ("--http-port", "0", "--grpc-port", "0", "--port", "0")
    asked = [*SPANLEDGER, command, "--data", str(data), *ports, *flags]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """One server for all examples."""
    data = tmp_path_factory.mktemp("readme")
    with _process("serve", data) as process:
        assert process.stdout
        yield Started(json.loads(process.stdout.readline()), data)


def _example(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def _runs(server: Started, agent: str | None, wanted: int) -> list[dict[str, Any]]:
    """The runs of an agent, once there are as many as wanted."""
    deadline = time.monotonic() + SOON_S
    while True:
        runs = [run for run in _ask(server.data, "runs")["items"] if run["agent"] == agent]
        if len(runs) >= wanted or time.monotonic() > deadline:
            return runs
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("language", "command", "agent", "calls"),
    [("python", (sys.executable, "-c"), "my-agent", (1, 1)), ("sh", ("sh", "-ec"), None, (1, 0))],
)
def test_first_span(
    server: Started, language: str, command: tuple[str, ...], agent: str | None, calls: tuple[int, int]
) -> None:
    """The README's first span, by SDK and by curl, becomes a run with its calls and its exact cost."""
    address = {"OTEL_EXPORTER_OTLP_ENDPOINT": server.addresses["otlp_http"]}

    subprocess.run([*command, _example(language)], check=True, capture_output=True, env=os.environ | address)
    (run,) = _runs(server, agent, 1)

    assert (run["llm_calls"], run["tool_calls"]) == calls
    assert run["cost_usd"] == "0.0009"  # 1200 x 0.25 + 300 x 2 millionths
    assert run["status"] == ("ok" if agent else run["status"])


def test_example_agent(server: Started) -> None:
    """The example agent, started as its README says, becomes one priced run."""
    address = {"OTEL_EXPORTER_OTLP_ENDPOINT": server.addresses["otlp_http"]}

    subprocess.run([sys.executable, "-m", "sample_traces.agent"], check=True, env=os.environ | address)
    (run,) = _runs(server, "recipe-helper", 1)

    assert (run["status"], run["llm_calls"], run["unpriced_calls"]) == ("ok", 5, 0)
    assert run["tool_calls"] - run["tool_errors"] == 3


def test_demo(tmp_path: Path) -> None:
    """`spanledger demo` shows every sample run, priced to the last digit, within twenty seconds of its start."""
    expected = play.expected().values()
    began = time.monotonic()
    runs: list[dict[str, Any]] = []

    with _process("demo", tmp_path, "--once") as process:
        assert process.stdout
        assert "http://127.0.0.1:" in process.stdout.readline()
        while len(runs) < sum(e["runs"] for e in expected) and time.monotonic() - began < DEMO_S:
            time.sleep(0.2)
            runs = _ask(tmp_path, "runs")["items"]
    total = sum(Decimal(run["cost_usd"]) for run in runs)

    assert len(runs) == sum(e["runs"] for e in expected)
    assert total == sum(Decimal(e["cost_usd"]) * e["runs"] for e in expected)
    assert time.monotonic() - began < DEMO_S
