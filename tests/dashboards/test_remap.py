"""A dialect of one's own: from a file in DIR/dialects to tokens and cost, for what arrives and for what is stored."""

import io
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from rich.console import Console
from starlette.testclient import TestClient

from collector.identity import Keys
from collector.settings import Settings
from collector.store import Store
from dashboards.app import create_app
from dashboards.cli import main
from tests.dashboards.test_serve import CLI, FREE_PORTS, Process
from tests.needed import ROOT
from tests.stores import DEMO_NOW_NS, empty_store

Attributes = dict[str, str | int]

TOKEN = "t" * 32
ACT = {"Authorization": f"Bearer {TOKEN}"}
ACME = """
dialect = "acme"
rank = 70
[recognise]
scopes = ["acme.agents"]
[[kind]]
from = "acme.step"
is = { run = "agent.run", think = "llm.call", act = "tool.call" }
[fields]
agent = ["acme.agent"]
model = ["acme.model"]
provider = ["acme.vendor"]
tool = ["acme.tool"]
input_tokens = ["acme.tokens.in"]
output_tokens = ["acme.tokens.out"]
[values.provider]
"the big one" = "openai"
bigone = "openai"
"""
GENAI = """
dialect = "genai"
extends = ["genai"]
[values.provider]
inhouse = "openai"
[fields]
tenant = ["acme.customer"]
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """Starts a server on one data folder, and ends it."""
    started: list[Process] = []

    def begin() -> Process:
        started.append(Process(tmp_path))
        return started[-1]

    yield begin
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()


def write(data: Path, **files: str) -> None:
    """Dialect tables of one's own."""
    (data / "dialects").mkdir(exist_ok=True)
    for name, text in files.items():
        (data / "dialects" / f"{name}.toml").write_text(text)


def send(server: Process) -> None:
    """A run of a framework that nobody knows, and a call of one that everybody knows, through the real exporter."""
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    provider.add_span_processor(
        SimpleSpanProcessor(OTLPSpanExporter(endpoint=server.addresses["otlp_http"] + "/v1/traces"))
    )
    acme, genai = provider.get_tracer("acme.agents"), provider.get_tracer("some.instrumentation")
    tokens: Attributes = {"acme.tokens.in": 1000, "acme.tokens.out": 100}
    with acme.start_as_current_span("run", attributes={"acme.step": "run", "acme.agent": "shopper"}):
        think: Attributes = {"acme.step": "think", "acme.model": "gpt-5-mini", "acme.vendor": "bigone"}
        with acme.start_as_current_span("think", attributes=tokens | think | {"acme.prompt": "what was said"}):
            pass
        with acme.start_as_current_span("act", attributes={"acme.step": "act", "acme.tool": "search"}):
            pass
    chat: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "inhouse",
        "gen_ai.request.model": "gpt-5-mini",
    }
    chat |= {"acme.customer": "globex"}
    usage: Attributes = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100}
    with genai.start_as_current_span("chat gpt-5-mini", attributes=usage | chat):
        pass
    provider.shutdown()


def costs(server: Process, spans: int, what: Callable[[dict[str, Any]], bool] = lambda answer: True) -> dict[str, Any]:
    """Costs by dialect, once the jobs have read so many spans and `what` holds."""
    end = time.monotonic() + 30
    while True:
        answer: dict[str, Any] = server.get("/api/v1/costs?group_by=dialect,tenant,provider,model,tool")
        stored = server.get("/api/v1/spans/count")["count"] == spans
        if (stored and answer["lag"]["spans"] == 0 and what(answer)) or time.monotonic() > end:
            return answer
        time.sleep(0.1)


@pytest.mark.slow
def test_a_made_up_framework_is_understood_from_its_file(start: Callable[[], Process], tmp_path: Path) -> None:
    """Its calls have models, tokens and a price; what a file adds to a built-in dialect holds beside what is there."""
    write(tmp_path, acme=ACME, genai=GENAI)
    server = start()
    send(server)
    items = costs(server, 4)["items"]
    found = {(i["dialect"], i["tenant"], i["provider"], i["model"], i["tool"]): i for i in items}
    assert set(found) == {
        ("acme", "default", "openai", "gpt-5-mini", None),
        ("acme", "default", None, None, "search"),
        ("genai", "globex", "openai", "gpt-5-mini", None),
    }
    mine, other = (found[d, t, "openai", "gpt-5-mini", None] for d, t in (("acme", "default"), ("genai", "globex")))
    assert (mine["input_tokens"], mine["output_tokens"], mine["priced_calls"]) == (1000, 100, 1)
    assert mine["cost_usd"] == other["cost_usd"] == "0.00045"
    assert server.get("/api/v1/runs?agent=shopper")["items"][0]["tool_calls"] == 1


@pytest.mark.slow
def test_what_arrived_before_its_file_is_remapped(start: Callable[[], Process], tmp_path: Path) -> None:
    """Shown and done by a running server, which has read the file meanwhile; taken back without one; runs follow."""
    server = start()
    send(server)
    assert {i["dialect"] for i in costs(server, 4)["items"]} == {"genai"}
    write(tmp_path, acme=ACME)

    shown = json.loads(server.run("remap", "--dry-run", "--json"))
    assert (shown["remap"], shown["changed_spans"]) == (None, 3)
    assert {"dialect": "acme", "field": "input_tokens", "spans": 1, "old": None, "new": 1000} in shown["items"]
    done = _once_in_force(server)
    assert "Remap 1: 3 of " in done
    assert "gpt-5-mini" in done
    answer = costs(server, 4, lambda answer: len(answer["items"]) == 3)
    priced = [i for i in answer["items"] if (i["dialect"], i["model"]) == ("acme", "gpt-5-mini")]
    assert [(i["provider"], i["cost_usd"]) for i in priced] == [("openai", "0.00045")]
    assert server.get("/api/v1/runs?agent=shopper")["items"][0]["llm_calls"] == 1
    send(server)
    assert sum(i["llm_calls"] for i in costs(server, 8)["items"] if i["dialect"] == "acme") == 2

    assert server.end()[0] == 0
    assert "Remap 2: 3 of 3 spans" in server.run("remap", "--undo", "1")
    assert json.loads(server.run("runs", "--agent", "shopper", "--json"))["items"][1:] == []
    assert [i["undoes"] for i in json.loads(server.run("remap", "--list", "--json"))["items"]] == [1, None]
    assert "local token" in server.run("remap", "--list")


def _once_in_force(server: Process) -> str:
    """What a remap says once the server reads by the files as they are; until then it refuses."""
    end = time.monotonic() + 30
    while True:
        argv = [*CLI, "remap", "--data", str(server.data)]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)
        if done.returncode == 0 or time.monotonic() > end:
            return done.stdout
        assert (done.returncode, "have just changed" in done.stderr) == (2, True)
        time.sleep(0.2)


def test_a_wrong_table_is_refused_at_start_and_by_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`config check`, `import` and `serve` name file, key, value and remedy, and end with 2."""
    write(tmp_path, acme=ACME.replace("model =", "modle ="))
    says = "acme.toml: fields.modle = ['acme.model']: unknown field; use one of"
    assert main(["config", "check", "--data", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err
    assert main(["import", "none.pb", "--data", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "spanledger.duckdb").exists()


@pytest.mark.slow
def test_a_server_does_not_start_with_a_wrong_table(tmp_path: Path) -> None:
    """It says why and ends; no store is made."""
    write(tmp_path, acme='dialect = "acme"')
    done = subprocess.run(
        [*CLI, "serve", "--data", str(tmp_path), *FREE_PORTS], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, "rank = None" in done.stderr) == (2, True)
    assert not (tmp_path / "spanledger.duckdb").exists()


def test_the_examples_are_tables_once_their_marks_are_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `config init` writes says nothing yet; each example in it can be used as it stands."""
    assert main(["config", "init", "--data", str(tmp_path)]) == 0
    example = tmp_path / "dialects" / "example.toml"
    lines = [line.removeprefix("#").strip() for line in example.read_text().splitlines()]
    starts = [i for i, line in enumerate(lines) if line.startswith(("dialect =", "kept ="))]
    for number, (first, last) in enumerate(zip(starts, [*starts[1:], len(lines)], strict=True)):
        toml = [line for line in lines[first:last] if line[:1] in ("[", "") or " = " in line]
        (tmp_path / "dialects" / f"{number}.toml").write_text("\n".join(toml))
    capsys.readouterr()
    assert len(starts) == 3
    assert main(["config", "check", "--data", str(tmp_path)]) == 0
    assert "own dialect tables: genai, acme" in capsys.readouterr().out


def test_a_terminal_shows_how_far_a_remap_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar while it goes on, which is asked for beside the remap itself, and then the answer."""
    empty_store(tmp_path / "spanledger.duckdb").close()
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr("dashboards.commands.tables.console", lambda: terminal)
    monkeypatch.setattr("dashboards.commands.remap.LOOK_S", 0.001)
    assert main(["remap", "--dry-run", "--data", str(tmp_path)]) == 0
    said = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "reading stored spans again" in said
    assert "Nothing was changed. It would be: 0 of 0 spans" in said


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """A client of the API over an empty store."""
    store: Store = empty_store(tmp_path / "spanledger.duckdb")
    settings = Settings(data=tmp_path)
    app = create_app(store, settings, keys=Keys.of(settings, local_token=TOKEN), clock=lambda: DEMO_NOW_NS)
    with TestClient(app, base_url="http://localhost") as client:
        yield client
    store.close()


def test_remapping_needs_a_token_and_is_asked_properly(client: TestClient, tmp_path: Path) -> None:
    """Even on loopback; a wrong table, period or number, or a second remap at once, are refused in words."""
    assert client.post("/api/v1/remaps", json={"dry_run": True}).status_code == 401
    done = client.post("/api/v1/remaps", json={}, headers=ACT).json()
    assert (done["remap"], done["spans"], done["items"], done["omitted"]) == (1, 0, [], 0)
    listed = client.get("/api/v1/remaps").json()["items"]
    assert [(i["remap"], i["from"], i["to"], i["actor"]) for i in listed] == [(1, None, None, "cli (local token)")]
    assert client.get("/api/v1/remaps/progress").json() == {"done": 0, "of": 0}
    refused = client.post("/api/v1/remaps/1/undo", headers=ACT)
    assert (refused.status_code, refused.json()["field"]) == (400, "number")
    assert client.post("/api/v1/remaps", json={"from": "x"}, headers=ACT).json()["field"] == "from"
    with client.app.state.remapping.take():  # type: ignore[attr-defined]
        second = client.post("/api/v1/remaps", json={}, headers=ACT)
    assert (second.status_code, "another remap goes on" in second.json()["detail"]) == (400, True)
    write(tmp_path, acme=ACME)
    early = client.post("/api/v1/remaps", json={}, headers=ACT)
    assert (early.status_code, "have just changed" in early.json()["detail"]) == (400, True)
    assert client.post("/api/v1/remaps", json={"dry_run": True}, headers=ACT).status_code == 200
    write(tmp_path, acme="dialect = 7")
    wrong = client.post("/api/v1/remaps", json={"dry_run": True}, headers=ACT)
    assert (wrong.status_code, wrong.json()["field"]) == (400, "dialects")
    assert "acme.toml: dialect = 7" in wrong.json()["detail"]
