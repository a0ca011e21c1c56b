"""The commands, as a person or a program meets them, without a server on the data folder."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboards import cli
from dashboards.cli import COMMANDS
from dashboards.client import FILE_NAME, Server, announce, running
from tests.needed import ROOT
from tests.stores import demo_store

LISTINGS = (["runs"], ["findings"], ["cost", "--group-by", "tenant"], ["quality"], ["sql", "FROM runs"], ["doctor"])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with forty synthetic runs, some of them with hostile names."""
    data = tmp_path_factory.mktemp("data")
    demo_store(data / "spanledger.duckdb", runs=40).close()
    yield data


@pytest.fixture(autouse=True)
def any_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual ports may be taken on the machine that runs the tests, and the doctor would say so."""
    for port in ("PORT", "HTTP_PORT", "GRPC_PORT"):
        monkeypatch.setenv(f"SPANLEDGER_{port}", "0")


def _json(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, object]:
    assert cli.main(argv) == 0
    answer: dict[str, object] = json.loads(capsys.readouterr().out)
    return answer


@pytest.mark.parametrize("argv", LISTINGS, ids=lambda argv: argv[0])
def test_listings_speak_json(data: Path, capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    """With --json each listing is one document with items and next_cursor."""
    answer = _json(capsys, *argv, "--json", "--data", str(data))

    assert {"items", "next_cursor"} <= answer.keys()


@pytest.mark.parametrize("argv", LISTINGS, ids=lambda argv: argv[0])
def test_tables_obey_no_emitter(data: Path, capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    """Whatever agents are called, tables hold no control character but line breaks, and no text that reorders."""
    assert cli.main([*argv, "--data", str(data)]) == 0
    out = capsys.readouterr().out

    assert len(out.splitlines()) > 1
    assert [c for c in out if (ord(c) < 32 and c != "\n") or c in "\x7f\u202e\u2066"] == []


def test_show_finds_a_run_by_its_first_digits(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The beginning of an id is enough; the answer has sums, spans and what went wrong."""
    found = _json(capsys, "runs", "--rule", "loop", "--json", "--data", str(data))
    run = found["items"][0]  # type: ignore[index]

    assert cli.main(["show", run["run_id"][:10], "--data", str(data)]) == 0
    out = capsys.readouterr().out
    assert run["run_id"] in out
    assert "llm.call" in out
    assert "Recommended: stop the run" in out
    assert _json(capsys, "show", run["run_id"][:10], "--json", "--data", str(data))["cost_usd"] == run["cost_usd"]


def test_spans_are_counted_and_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The count is a bare number, the ids are as many lines, and a run's spans are a listing."""
    assert cli.main(["spans", "--count", "--data", str(data)]) == 0
    count = int(capsys.readouterr().out)
    result = subprocess.run(
        [sys.executable, "-m", "dashboards.cli", "spans", "--ids", "--data", str(data)], cwd=ROOT, capture_output=True
    )
    run_id = _json(capsys, "runs", "--limit", "1", "--json", "--data", str(data))["items"][0]["run_id"]  # type: ignore[index]

    assert len(result.stdout.split()) == count
    assert _json(capsys, "spans", "--run", run_id, "--json", "--data", str(data))["items"]


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["show", "ffffffffffff"], 1, "no run has the id"),
        (["spans", "--run", "nothing"], 1, "no span belongs"),
        (["runs", "--status", "fine"], 2, "is not a status"),
        (["cost", "--group-by", "colour"], 2, "is not a group key"),
        (["sql", "DELETE FROM runs"], 2, "not a question"),
        (["import", "/nowhere/spans.pb"], 1, None),
        (["health"], 3, None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_exit_codes_mean_something(
    data: Path, capsys: pytest.CaptureFixture[str], argv: list[str], code: int, said: str | None
) -> None:
    """1 is no, 2 is asked wrongly, 3 is nobody there; stderr says why."""
    assert cli.main([*argv, "--data", str(data)]) == code
    if said:
        assert said in capsys.readouterr().err


def test_no_store_is_said_and_none_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Asking about a folder without a store ends with 3 and a remedy, and leaves the folder as it was."""
    assert cli.main(["runs", "--data", str(tmp_path / "none")]) == 3
    assert "holds no store: start `spanledger serve`" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("argv", [[], ["fly"], ["spans"], ["spans", "--count", "--ids"], ["runs", "--limit", "many"]])
def test_wrong_usage_ends_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A command line that cannot be read ends with 2 and the usage."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(argv)

    assert exit_.value.code == 2
    assert "usage: spanledger" in capsys.readouterr().err


def test_import_takes_each_span_once(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files of spans, logs and metrics go in; a second time everything is there already; a bad file costs itself."""
    folder = shared / "corpora" / "openai_v2"
    files = [str(f) for f in sorted(folder.glob("*.pb"))]
    junk = tmp_path / "junk.pb"
    junk.write_bytes(b"no spans in here")
    data = str(tmp_path / "data")

    first = _json(capsys, "import", *files, "--json", "--data", data)
    second = _json(capsys, "import", *files, "--json", "--data", data)
    assert first["spans"] == first["stored"] == second["already_stored"]
    assert (second["stored"], first["rejected"], second["rejected"]) == (0, 0, 0)
    assert cli.main(["import", str(junk), files[0], "--data", data]) == 1
    assert "junk.pb" in capsys.readouterr().out
    assert cli.main(["spans", "--count", "--data", data]) == 0
    assert int(capsys.readouterr().out) == first["stored"]


def test_a_snapshot_is_a_new_file(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The copy lands where it was asked for and never over another file."""
    copy = tmp_path / "copy.duckdb"

    assert cli.main(["sql", "--snapshot", str(copy), "--data", str(data)]) == 0
    assert copy.stat().st_size > 0
    assert cli.main(["sql", "--snapshot", str(copy), "--data", str(data)]) == 2
    assert "name a new file" in capsys.readouterr().err


def test_config_init_writes_what_config_check_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The examples are valid, are never written over, and a wrong value is named with its file."""
    data = str(tmp_path)
    assert cli.main(["config", "init", "--data", data]) == 0
    assert cli.main(["config", "check", "--data", data]) == 0
    assert "valid" in capsys.readouterr().out

    (tmp_path / "spanledger.toml").write_text("port = 99999\n")
    assert cli.main(["config", "init", "--data", data]) == 2
    assert cli.main(["config", "check", "--data", data]) == 2
    assert "port in" in capsys.readouterr().err


def test_what_a_dead_server_left_is_ignored(tmp_path: Path) -> None:
    """A server.json of no process, of another process, or of nonsense is no server."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, 1):
        announce(tmp_path, Server(pid, "start", "token", "http://127.0.0.1:9", "http://127.0.0.1:9", "127.0.0.1:9"))
        assert running(tmp_path) is None
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    (tmp_path / FILE_NAME).write_text('{"pid": "many"}')
    assert running(tmp_path) is None


def test_every_command_is_shown_at_work() -> None:
    """docs/commands.md has a section with an example of each command."""
    page = (ROOT / "docs" / "commands.md").read_text()
    sections = {part.split("\n", 1)[0]: part for part in page.split("\n## ")[1:]}

    assert [name for name, _, _, _ in COMMANDS if f"$ spanledger {name}" not in sections.get(name, "")] == []
