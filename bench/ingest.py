"""Ingest, by hand in a minute: load with known truth, sent to a fresh server; prints one line of JSON a cell.

    python -m bench.ingest --spans 1000000 --connections 4 64

After the last acknowledgement it waits until the count, and then the total cost, are what the truth file says.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.load import load

SPANLEDGER = (sys.executable, "-m", "dashboards.cli")
FREE_PORTS = ("--http-port", "0", "--grpc-port", "0", "--port", "0")
PRICES = Path(__file__).parent.parent / "sample_traces" / "prices.toml"
LONGEST_WAIT_S = 120.0


def ask(data: Path, *command: str) -> str:
    """What a command prints about the server on `data`."""
    asked = [*SPANLEDGER, *command, "--data", str(data)]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout


def wait_s(data: Path, key: str, wanted: object, *command: str) -> float:
    """Seconds until the `total` of a command's answer (or, without --json, all that it prints) is as wanted."""
    began = time.monotonic()
    while time.monotonic() - began < LONGEST_WAIT_S:
        answer = ask(data, *command)
        if (json.loads(answer)["total"][key] if key else int(answer)) == wanted:
            return round(time.monotonic() - began, 2)
        time.sleep(0.1)
    raise TimeoutError(f"{' '.join(command)}: not {wanted} after {LONGEST_WAIT_S:.0f} s")


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> float:
    """Highest resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return round(int(status.split("VmHWM:")[1].split()[0]) / 1024, 1)


def measure(file: Path, truth: dict[str, Any], connections: int, folder: Path) -> dict[str, object]:
    """One cell: the whole file over so many connections, to a server of its own."""
    data = folder / f"data-{connections}"
    data.mkdir(mode=0o700)
    (data / "prices.toml").write_text(PRICES.read_text())
    with subprocess.Popen([*SPANLEDGER, "serve", "--data", str(data), *FREE_PORTS], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout
            url = json.loads(server.stdout.readline())["otlp_http"]
            used_s = cpu_s(server.pid)
            sent = asyncio.run(load(url, file, connections, 0.0, []))
            counted_s = wait_s(data, "", truth["spans"], "spans", "--count")
            ingest_s = cpu_s(server.pid) - used_s
            costs_s = wait_s(data, "cost_usd", truth["cost_usd"], "cost", "--json")
            figures = {
                **sent,
                "counted_after_s": counted_s,
                "costs_right_after_s": round(counted_s + costs_s, 2),
                "cpu_s_per_million": round(ingest_s / truth["spans"] * 10**6, 1),
                "peak_mb": peak_mb(server.pid),
            }
        finally:
            server.terminate()
            server.wait(60)
    stored = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    return {"connections": connections, **figures, "disk_bytes_per_span": round(stored / truth["spans"], 1)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="measure ingest against a fresh server")
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--per-request", type=int, default=512)
    parser.add_argument("--connections", type=int, nargs="+", default=[4, 64])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spanledger-bench-") as name:
        file = Path(name) / "load.otlp"
        shape = ("--spans", str(asked.spans), "--per-request", str(asked.per_request))
        subprocess.run([sys.executable, "-m", "bench.generate", *shape, "--out", str(file)], check=True)
        truth = json.loads(file.with_name(file.name + ".truth.json").read_text())
        for connections in asked.connections:
            print(json.dumps(measure(file, truth, connections, Path(name))), flush=True)


if __name__ == "__main__":
    main()
