"""The command `alerts`: what fires and who was told, and whether a target takes alerts."""

import json
from pathlib import Path

import pytest

from analytics import alerts as states
from analytics import outbox
from analytics.alert_settings import AlertSettings, Target
from analytics.alerts import Signal
from dashboards.cli import main
from tests.analytics.receivers import receiver
from tests.stores import DEMO_NOW_NS, empty_store

SIGNAL = Signal({"alertname": "SloBurn", "severity": "page"}, {"summary": "runs fail\x1b[31m"})


def test_what_fires_is_listed_with_who_was_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row an alert with each target: by name where it took the message, with the reason where it did not."""
    store = empty_store(tmp_path / "spanledger.duckdb")
    with receiver() as takes:
        targets = (Target("ops", "webhook", takes.url), Target("gone", "webhook", "http://127.0.0.1:1"))
        with store.transaction() as cursor:
            outbox.record(cursor, states.step([], [SIGNAL], DEMO_NOW_NS), targets, DEMO_NOW_NS)
        outbox.deliver(store, AlertSettings(targets=targets), DEMO_NOW_NS)
    store.close()

    assert main(["alerts", "--data", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert main(["alerts", "--state", "firing", "--json", "--data", str(tmp_path)]) == 0
    (item,) = json.loads(capsys.readouterr().out)["items"]
    assert main(["alerts", "--state", "resolved", "--data", str(tmp_path)]) == 0
    assert "No alerts" in capsys.readouterr().out
    assert main(["alerts", "--state", "loud", "--data", str(tmp_path)]) == 2

    assert told.splitlines()[1].split()[:3] == ["firing", "SloBurn", "page"]
    assert "gone pending: no answer" in " ".join(told.split())
    assert "; ops" in " ".join(told.split())
    assert "\x1b" not in told
    assert item["name"] == "SloBurn"


@pytest.mark.parametrize(("status", "code"), [(200, 0), (403, 1)], ids=["taken", "refused"])
def test_a_target_is_tried(status: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`alerts test` posts one alert that says that nothing is wrong; a refusal is told, and is the exit code."""
    empty_store(tmp_path / "spanledger.duckdb").close()
    with receiver(lambda _: status) as ops:
        (tmp_path / "alerts.toml").write_text(f'[[targets]]\nname = "ops"\nkind = "webhook"\nurl = "{ops.url}/in"\n')
        assert main(["alerts", "test", "ops", "--data", str(tmp_path)]) == code
        (body,) = ops.bodies

    told = " ".join(capsys.readouterr().out.split())
    assert json.loads(body)["alerts"][0]["labels"] == {"alertname": states.TRIAL, "severity": "none", "target": "ops"}
    assert f"{ops.url}/in" in told
    assert str(status) in told


def test_a_target_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is not in alerts.toml, or none at all, is answered with those that are."""
    empty_store(tmp_path / "spanledger.duckdb").close()
    assert main(["alerts", "test", "ops", "--data", str(tmp_path)]) == 2
    assert "alerts.toml of the data folder names none" in capsys.readouterr().err
    (tmp_path / "alerts.toml").write_text('[[targets]]\nname = "am"\nkind = "webhook"\nurl = "http://127.0.0.1:1"\n')
    assert main(["alerts", "test", "ops", "--data", str(tmp_path)]) == 2
    assert "'ops' is not a target: there are am" in capsys.readouterr().err
    assert main(["alerts", "test", "--data", str(tmp_path)]) == 2
    assert "name a target" in capsys.readouterr().err
