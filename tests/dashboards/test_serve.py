"""The server as a process: started, asked, told to stop, killed."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.errors import StoreError
from dashboards.serve import secret_key
from tests.needed import ROOT

pytestmark = pytest.mark.slow

CLI = [sys.executable, "-m", "dashboards.cli"]
FREE_PORTS = ["--port", "0", "--http-port", "0", "--grpc-port", "0"]
READY_S, STOP_S = 30, 15


class Process:
    """A server on a data folder, and what it said when it was ready."""

    def __init__(self, data: Path, *flags: str, env: dict[str, str] | None = None) -> None:
        self.data = data
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [*CLI, "serve", "--data", str(data), *FREE_PORTS, *flags],
            cwd=ROOT, env=os.environ | (env or {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        self.took_s = time.monotonic() - self.began
        self.addresses: dict[str, Any] = json.loads(self.line) if self.line else {}

    def run(self, *argv: str, code: int = 0) -> str:
        """A command on the same data folder; its output."""
        done = subprocess.run(
            [*CLI, *argv, "--data", str(self.data)], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    def get(self, path: str, base: str = "pages") -> Any:
        """A page of the API."""
        with urllib.request.urlopen(self.addresses[base] + path, timeout=10) as reply:
            return json.loads(reply.read())

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and log after a signal."""
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=STOP_S)
        return self.process.returncode, log


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts servers, and ends those that a test leaves running."""
    started: list[Process] = []

    def begin(*flags: str, data: Path | None = None, env: dict[str, str] | None = None) -> Process:
        started.append(Process(data or tmp_path / "data", *flags, env=env))
        return started[-1]

    yield begin
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()


def _send(server: Process, body: bytes) -> int:
    request = urllib.request.Request(
        server.addresses["otlp_http"] + "/v1/traces", body, {"Content-Type": "application/x-protobuf"}
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        return int(reply.status)


def _children_s() -> float:
    """Processor time of ended child processes: what a command takes, whatever else the machine does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _until(holds: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (value := holds()) and time.monotonic() < end:
        time.sleep(0.1)
    return value


def test_from_exporter_to_answer(start: Callable[..., Process], shared: Path) -> None:
    """What an exporter sends is a span at once and soon a run, in commands and API; a stop loses nothing."""
    server = start()
    bodies = [f.read_bytes() for f in sorted((shared / "corpora" / "openai_v2").glob("*.traces*.pb"))]
    assert [_send(server, body) for body in bodies] == [200] * len(bodies)
    count = int(server.run("spans", "--count"))
    items = _until(lambda: (answer := server.get("/api/v1/runs?limit=500"))["lag"]["spans"] == 0 and answer["items"])

    assert count == len(server.run("spans", "--ids").split()) == sum(run["spans"] for run in items)
    assert json.loads(server.run("runs", "--json", "--limit", "500"))["items"] == items
    assert "ready" in server.run("health")
    assert sum(run["llm_calls"] for run in items) > 10

    code, log = server.end()
    assert code == 0
    assert not (server.data / "server.json").exists()
    assert not (server.data / "spanledger.duckdb.wal").exists()
    assert all(json.loads(line)["level"] == "info" for line in log.splitlines())
    assert int(server.run("spans", "--count")) == count


def test_ready_line_names_the_addresses_and_no_secret(start: Callable[..., Process]) -> None:
    """One line of JSON says where everything listens; the token is only in server.json, for its owner's eyes."""
    server = start()
    written = json.loads((server.data / "server.json").read_text())

    assert {"pages", "otlp_http", "otlp_grpc", "pid"} <= server.addresses.keys()
    assert written["token"] not in server.line
    assert {(server.data / name).stat().st_mode & 0o777 for name in ("server.json", "secret.key")} == {0o600}
    assert server.data.stat().st_mode & 0o077 == 0
    assert server.get("/healthz")["start_id"] == written["start_id"]


def test_import_goes_through_the_running_server(start: Callable[..., Process], shared: Path) -> None:
    """Files are streamed to the server, and again change nothing."""
    server = start()
    files = [str(f) for f in sorted((shared / "corpora" / "oi_openai").glob("*.pb"))]
    first, second = (json.loads(server.run("import", "--json", *files)) for _ in range(2))

    assert first["spans"] == first["stored"] == second["already_stored"] > 0


def test_counting_is_light(start: Callable[..., Process]) -> None:
    """With a server running, `spans --count` loads nothing but the standard library and takes an instant."""
    server = start()
    heavy = ("duckdb", "polars", "fastapi", "pyarrow", "numpy", "rich", "uvicorn")
    program = (
        "import sys; from dashboards import cli; code = cli.main(['spans', '--count', '--data', sys.argv[1]]); "
        f"sys.exit(code or [m for m in {heavy!r} if m in sys.modules] or 0)"
    )
    times = []
    for _ in range(5):
        began = _children_s()
        done = subprocess.run(
            [sys.executable, "-c", program, str(server.data)], cwd=ROOT, capture_output=True, text=True, timeout=READY_S
        )
        times.append(_children_s() - began)
        assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 0)

    assert min(times) < 0.15


def test_a_killed_server_leaves_nothing_in_the_way(start: Callable[..., Process], shared: Path) -> None:
    """After kill -9 commands open the store themselves and find all that was acknowledged, and a new server starts."""
    server = start()
    _send(server, (shared / "corpora" / "openai_v2" / "loop8.traces.pb").read_bytes())
    count = server.run("spans", "--count")
    server.end(signal.SIGKILL)

    assert (server.data / "server.json").exists()
    assert server.run("spans", "--count") == count
    again = start(data=server.data)
    assert again.run("spans", "--count") == count


def test_two_servers_on_one_folder(start: Callable[..., Process]) -> None:
    """The second one ends with 3 and says where the first one is."""
    first = start()
    second = subprocess.run(
        [*CLI, "serve", "--data", str(first.data), *FREE_PORTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=READY_S,
    )

    assert second.returncode == 3
    assert first.addresses["pages"] in second.stderr


@pytest.mark.parametrize("setting", ["port", "http_port", "grpc_port"])
def test_a_port_in_use_is_named(tmp_path: Path, setting: str) -> None:
    """Each listener names its own setting when the port is taken, and nothing is left behind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        flag = ["--" + setting.replace("_", "-"), str(taken.getsockname()[1])]
        done = subprocess.run(
            [*CLI, "serve", "--data", str(tmp_path), *FREE_PORTS, *flag],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=READY_S,
        )

    assert done.returncode == 2
    assert f"{setting} = {flag[1]}" in done.stderr
    assert not (tmp_path / "server.json").exists()


def test_beyond_loopback_keys_are_required(start: Callable[..., Process], tmp_path: Path) -> None:
    """Without keys an open address is refused with the remedy; with them the server asks for them."""
    refused = subprocess.run(
        [*CLI, "serve", "--data", str(tmp_path), "--host", "0.0.0.0", *FREE_PORTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    keys = {"SPANLEDGER_INGEST_KEY": "i" * 20, "SPANLEDGER_ADMIN_TOKEN": "a" * 20}
    server = start("--host", "0.0.0.0", env=keys)

    assert refused.returncode == 2
    assert "SPANLEDGER_INGEST_KEY" in refused.stderr
    with pytest.raises(urllib.error.HTTPError, match="401"):
        server.get("/api/v1/runs")
    assert server.run("runs", "--json")  # the local token is enough for who owns the folder


def test_starting_takes_a_moment(start: Callable[..., Process]) -> None:
    """A fresh server is ready within the target of 2.5 s; three times that is left for a busy machine."""
    assert start().took_s < 7.5


def test_the_key_of_hashes_is_whole_or_refused(tmp_path: Path) -> None:
    """The key is made once, also after a crash while it was written; half a key is no key, and the remedy is told."""
    (tmp_path / "secret.key.new").write_bytes(b"half")
    key = secret_key(tmp_path)
    assert len(key) == 32
    assert secret_key(tmp_path) == key
    (tmp_path / "secret.key").write_bytes(key[:7])
    with pytest.raises(StoreError, match="holds 7 bytes and not 32: restore it from a backup"):
        secret_key(tmp_path)
