"""Records real agents: `python -m tests.captures.record [SET ...] [--scenario NAME ...]`. See README.md.

Each set of `sets.toml` has an environment under CAPTURES_DIR (default: a folder `captures` among the temporary files);
each of its scenarios runs the script once, against a model server and a sink of its own.
"""

import argparse
import json
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

from tests.captures.plan import SCENARIOS
from tests.captures.servers import model_server, sink

HERE = Path(__file__).parent
WORK = Path(os.environ.get("CAPTURES_DIR", Path(tempfile.gettempdir()) / "captures"))
LONGEST_S = 120
LOOP = 4  # identical calls in a row that did not fail
MACHINE = Path("/etc/machine-id")
_HOME = f"{Path.home()}/".encode()
HOME = (_HOME, b"/home/".ljust(len(_HOME), b"-")[: len(_HOME)])
"""A path that tells of the machine, and what stands for it: of one length, so that bodies stay valid."""


def environment(spec: dict[str, Any], folder: Path) -> list[str]:
    """The command that starts a script of this set; makes its environment the first time."""
    if "node" in spec:
        if not (folder / "node_modules").is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(
                ["npm", "install", "--silent", "--no-fund", "--no-audit", *spec["node"]], cwd=folder, check=True
            )
        return ["node"]
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *spec["python"]], check=True)
    return [str(python)]


def packages(spec: dict[str, Any], folder: Path) -> dict[str, str]:
    """Versions of what was asked for."""
    if "node" in spec:
        names = [n.rpartition("@")[0] for n in spec["node"]]
        return {n: json.loads((folder / "node_modules" / n / "package.json").read_text())["version"] for n in names}
    names = [p.split("==")[0].split("[")[0] for p in spec["python"]]
    code = "import sys, importlib.metadata as m; print(*(m.version(n) for n in sys.argv[1:]))"
    told = subprocess.run([folder / "bin" / "python", "-c", code, *names], capture_output=True, text=True, check=True)
    return dict(zip(names, told.stdout.split(), strict=True))


def record(name: str, spec: dict[str, Any], scenario: str) -> dict[str, Any]:
    """Runs one scenario, keeps the bodies of its exports, and returns its entry of the manifest."""
    base, out = WORK / "envs" / spec.get("environment", name), HERE / "recorded" / name
    scripts = WORK / "scripts"
    shutil.copytree(HERE / "agents", scripts, dirs_exist_ok=True)
    command, log = [*environment(spec, base), str(scripts / spec["script"])], WORK / f"{name}.{scenario}.log"
    log.unlink(missing_ok=True)
    calls: list[dict[str, Any]] = []
    received: list[tuple[str, str, bytes]] = []
    with model_server(scenario, calls) as model, sink(received) as otlp:
        env = dict(os.environ) | {
            "CAPTURE_SET": name,
            "CAPTURE_SCENARIO": scenario,
            "CAPTURE_LOG": str(log),
            "CAPTURE_MODEL_SERVER": model,
            "OPENAI_BASE_URL": f"{model}/v1",
            "OPENAI_API_BASE": f"{model}/v1",
            "OPENAI_API_KEY": "no-key",
            "ANTHROPIC_BASE_URL": model,
            "ANTHROPIC_API_KEY": "no-key",
            "GOOGLE_GEMINI_BASE_URL": model,
            "GEMINI_API_KEY": "no-key",
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": model,
            **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "no-key"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_NODE_RESOURCE_DETECTORS": "env,serviceinstance",
            "NODE_PATH": str(base / "node_modules"),
            **{k: v.format(model=model, otlp=otlp, work=WORK) for k, v in spec.get("env", {}).items()},
        }
        began = time.monotonic()
        with (WORK / f"{name}.{scenario}.out").open("w") as told:
            ended = subprocess.run(command, env=env, cwd=WORK, stdout=told, stderr=told, timeout=LONGEST_S, check=False)
        took = time.monotonic() - began
        time.sleep(0.2)
    entry = {"truth": truth(calls, log), "exports": keep(out, scenario, received)}
    answered = sum("usage" in c for c in calls)
    print(f"{name}-{scenario}: {took:.1f} s, exit {ended.returncode}, {answered} of {len(calls)} requests answered")
    return entry


def keep(out: Path, scenario: str, received: list[tuple[str, str, bytes]]) -> list[dict[str, Any]]:
    """Writes the bodies, compressed; returns what the manifest tells of them."""
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob(f"{scenario}.*"):
        old.unlink()
    exports: list[dict[str, Any]] = []
    machine = MACHINE.read_bytes().strip() if MACHINE.exists() else b"\0" * 32
    for signal, kind, sent in received:
        order = sum(e["signal"] == signal for e in exports) + 1
        suffix = "json" if kind.endswith("json") else "pb"
        file = f"{scenario}.{signal}{'' if order == 1 else f'.{order}'}.{suffix}.xz"
        (out / file).write_bytes(
            lzma.compress(sent.replace(*HOME).replace(machine, b"0" * 32), preset=9 | lzma.PRESET_EXTREME)
        )
        exports.append({"file": file, "signal": signal, "order": order, "bytes": len(sent), "content_type": kind})
    return exports


def truth(calls: list[dict[str, Any]], log: Path) -> dict[str, Any]:
    """What really happened, as model server, tools and runs logged it, in the words of the shared captures."""
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    tools = [{"name": e.pop("tool"), **e} for e in lines if "tool" in e]
    runs = [{"agent": e.pop("run"), **e} for e in lines if "run" in e]
    answered = [c for c in calls if "usage" in c]
    sums = {k: sum(c["usage"][k] for c in answered) for k in ("input", "output", "cached", "cache_write", "reasoning")}
    streak = longest = 0
    for before, now in zip([None, *tools], tools, strict=False):
        same = before is not None and before == now and now["outcome"] == "ok"
        streak = streak + 1 if same else 1
        longest = max(longest, streak)
    return {
        "llm_http_requests": len(calls),
        "llm_calls_ok": len(answered),
        "llm_http_errors": [{"n": c["n"], "status": c["status"]} for c in calls if "status" in c],
        "models_requested": sorted({c["request_model"] for c in answered}),
        "models_responded": sorted({c["response_model"] for c in answered}),
        "streaming": any(c["stream"] for c in answered),
        "usage_present_on_wire": all(c["usage_sent"] for c in answered),
        "totals": {
            "input_including_cache": sums["input"],
            "output": sums["output"],
            "cached_input": sums["cached"],
            "cache_write": sums["cache_write"],
            "reasoning": sums["reasoning"],
        },
        "calls": calls,
        "tool_executions": tools,
        "tool_execution_count": len(tools),
        "tool_errors": sum(t["outcome"] == "error" for t in tools),
        "loops": longest >= LOOP,
        "runs": runs,
        "run_failed": any(r["failed"] for r in runs),
    }


def written(manifest: dict[str, Any]) -> str:
    """JSON with one call, one tool execution, one export a line."""
    text = json.dumps(manifest, indent=1)
    flat: list[str] = []
    for line in text.splitlines():
        depth = len(line) - len(line.lstrip())
        if depth > 5 or (flat and flat[-1].lstrip().startswith("{") and not flat[-1].endswith(("},", "}"))):
            flat[-1] += " " * (not flat[-1].endswith(("{", "["))) + line.strip()
        else:
            flat.append(line)
    return "\n".join(flat) + "\n"


def main() -> None:
    """Records the sets that are named, or all."""
    sets = tomllib.loads((HERE / "sets.toml").read_text())
    sets = {name: sets.get(spec.get("like"), {}) | spec for name, spec in sets.items()}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", choices=[[], *sets], metavar="SET")
    parser.add_argument("--scenario", nargs="+", choices=list(SCENARIOS))
    asked = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    for name in asked.sets or sets:
        spec = sets[name]
        file = HERE / "recorded" / name / "manifest.json"
        old = json.loads(file.read_text())["scenarios"] if file.exists() else {}
        for scenario in asked.scenario or spec.get("scenarios", SCENARIOS):
            old[scenario] = record(name, spec, scenario)
        told = packages(spec, WORK / "envs" / spec.get("environment", name))
        file.write_text(written({"framework": name, "dialect": spec["dialect"], "packages": told, "scenarios": old}))


if __name__ == "__main__":
    main()
