"""SLOs with calendar periods and planned maintenance: page, API, metrics and command line tell one story."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from analytics.calendars import Calendar
from analytics.evaluate import evaluate
from analytics.maintenance import Maintenance
from analytics.slo import MINUTE_NS
from analytics.tenants import TimeZones
from collector.settings import Settings
from collector.store import Store
from dashboards.app import Rules, create_app
from dashboards.cli import main
from dashboards.rules import RuleFiles
from tests.analytics.objectives import SUCCESS
from tests.stores import DEMO_NOW_NS, demo_store

MINUTE = DEMO_NOW_NS // MINUTE_NS
MONTH = replace(
    SUCCESS,
    name="monthly",
    title="Runs succeed each month",
    calendar=Calendar(1, "M", datetime.fromisoformat("2026-01-01"), "Europe/Rome"),
)
WINDOW = Maintenance(MINUTE - 600, MINUTE - 60, 'upgrade <b>"4711"</b>', "ops", ("run-*",))
RULES = Rules(slos=(SUCCESS, MONTH), maintenance=(WINDOW,))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The demo store, with budgets counted."""
    store = demo_store(tmp_path_factory.mktemp("slos") / "spanledger.duckdb")
    evaluate(store, RULES.slos, RULES.alerts, DEMO_NOW_NS, RULES.maintenance)
    yield store
    store.close()


@pytest.fixture(scope="module")
def client(store: Store) -> TestClient:
    """A caller on this machine."""
    app = create_app(store, Settings(), rules=RULES, clock=lambda: DEMO_NOW_NS)
    return TestClient(app, base_url="http://localhost")


def test_the_api_tells_both_figures(client: TestClient) -> None:
    """An item holds its budget without the window and, beside it, with it; the window says why, and since when."""
    answer = client.get("/api/v1/slos").json()
    rows = {row["slo"]: row for row in answer["items"]}
    covered, other = rows["run-success"], rows["monthly"]

    assert covered["events"] < covered["with_maintenance"]["events"]
    assert other["events"] == other["with_maintenance"]["events"]
    assert (other["calendar"], other["period"]) == (True, "month (Europe/Rome)")
    assert [w["reason"] for w in answer["maintenance"]] == [WINDOW.reason]
    assert answer["maintenance"][0]["afterwards"]


def test_the_pages_show_both_figures(client: TestClient) -> None:
    """The list and the page of the objective name budget with and without, and the window, inert; the CSV has both."""
    page, one, other = (client.get(f"/slos{path}").text for path in ("", "/run-success", "/monthly"))

    assert page.count(" with maintenance<") == 1
    assert " with maintenance<" in one
    assert "Planned maintenance" in page
    assert "Planned maintenance" not in other
    assert "<b>&#34;4711" not in page
    assert "4711" in page
    assert "each month (Europe/Rome), this one until 20" in other
    lines = client.get("/slos?csv=slos").text.splitlines()
    assert "budget_left_with_maintenance" in lines[0]
    assert len(lines) == 3


def test_metrics_name_the_period_and_not_its_minutes(client: TestClient) -> None:
    """The label of a calendar window stays the same while the month goes on; maintenance is left out."""
    text = client.get("/metrics").text
    windows = set(re.findall(r'slo_burn_rate\{slo="monthly",window="([^"]+)"\}', text))
    left = re.search(r'slo_budget_remaining\{slo="run-success"\} (\S+)', text)
    rows = {row["slo"]: row for row in client.get("/api/v1/slos").json()["items"]}

    assert "month (Europe/Rome)" in windows
    assert windows <= {"5m", "30m", "1h", "2h", "6h", "1d", "month (Europe/Rome)"}
    assert left
    assert float(left[1]) == pytest.approx(rows["run-success"]["budget_left"])


def test_the_command_line_reads_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a server `slo` counts what the folder says, calendar, maintenance and all; mistakes are told."""
    demo_store(tmp_path / "spanledger.duckdb").close()
    assert main(["config", "init", "--data", str(tmp_path)]) == 0
    (tmp_path / "maintenance.toml").write_text(
        '[[window]]\nfrom = 2026-01-01T00:00:00Z\nto = 2030-01-01T00:00:00Z\nreason = "rebuild"\nslos = ["tool-*"]\n'
    )
    (tmp_path / "tenants.toml").write_text('[acme]\ntime_zone = "Europe/Rome"\n')
    capsys.readouterr()
    assert main(["slo", "--data", str(tmp_path)]) == 0
    table = capsys.readouterr().out
    assert main(["slo", "--json", "--data", str(tmp_path)]) == 0
    answer = json.loads(capsys.readouterr().out)

    assert "run-success" in table
    assert "Maintenance of tool-*" in table
    assert "rebuild" in table
    assert {row["slo"] for row in answer["items"]} == {"run-cost", "run-latency", "run-success", "tool-success"}
    (tmp_path / "tenants.toml").write_text('[acme]\ntime_zone = "Rome"\n')
    assert main(["slo", "--data", str(tmp_path)]) != 0
    assert "tenants.toml: acme.time_zone = 'Rome'" in capsys.readouterr().err


def test_files_are_read_as_they_change(tmp_path: Path) -> None:
    """A window that is declared while the server runs is in force a moment later; a bad one is refused and told."""
    files = RuleFiles(tmp_path)
    path = tmp_path / "maintenance.toml"
    for text, windows, refused in (
        ('[[window]]\nfrom = 2026-01-01T00:00:00Z\nto = 2026-01-02T00:00:00Z\nreason = "rebuild"\n', 1, False),
        ("[[window]]\nfrom = 2026-01-01T00:00:00Z\nto = 2026-01-02T00:00:00Z\n", 1, True),
    ):
        path.write_text(text)
        files.refresh()
        files.refresh()
        assert len(files.rules.maintenance) == windows
        assert ("maintenance.toml" in files.rules.refused) == refused


def test_today_of_a_tenant_begins_at_its_midnight(store: Store) -> None:
    """A page of one tenant shows its own today, every other page that of UTC."""
    zones = TimeZones({"acme": "Asia/Tokyo"})
    app = create_app(store, Settings(), rules=Rules(zones=zones), clock=lambda: DEMO_NOW_NS)
    client = TestClient(app, base_url="http://localhost")

    for path in ("/cost", "/findings"):
        assert "Today (UTC)" in client.get(f"{path}?period=today").text
        assert "Today (UTC)" in client.get(f"{path}?period=today&tenant=globex").text
        assert "Today (Asia/Tokyo)" in client.get(f"{path}?period=today&tenant=acme").text
        assert "Yesterday (Asia/Tokyo)" in client.get(f"{path}?period=yesterday&tenant=acme").text
