"""Planned maintenance: the file, its record, and budgets with and without it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from analytics import maintenance, slo_events
from analytics.alert_settings import AlertSettings
from analytics.evaluate import evaluate
from analytics.maintenance import Maintenance
from analytics.reports import slos as report
from analytics.slo import MINUTE_NS
from collector.errors import ConfigError
from collector.store import Store
from tests.analytics.objectives import NOW_NS, SUCCESS
from tests.stores import empty_store
from tests.tables import put, run

MINUTE = NOW_NS // MINUTE_NS
WINDOW = Maintenance(MINUTE - 20, MINUTE - 10, "database upgrade")
FILE = """
[[window]]
from = 2026-11-20T22:00:00Z
to = 2026-11-21T01:00:00+01:00
reason = "database upgrade, change 4711"
by = "ops"
slos = ["run-*"]
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Sixty good runs, one a minute, and twenty bad ones that started within WINDOW."""
    store = empty_store(tmp_path / "s.duckdb")
    with store.transaction() as cursor:
        put(cursor, "runs", [run(NOW_NS - m * MINUTE_NS, status="ok") for m in range(60)])
        put(cursor, "runs", [run((MINUTE - m) * MINUTE_NS, status="error") for m in range(11, 21) for _ in "12"])
    yield store
    store.close()


def test_the_file(tmp_path: Path) -> None:
    """Windows are read to the minute, whatever their offset, and cover the SLOs that they name."""
    path = tmp_path / "maintenance.toml"
    assert maintenance.load(path) == ()
    path.write_text(FILE)
    (window,) = maintenance.load(path)

    assert window.end_minute - window.first_minute == 120
    assert (window.reason, window.by) == ("database upgrade, change 4711", "ops")
    assert [window.covers(name) for name in ("run-success", "tool-success")] == [True, False]
    assert Maintenance(0, 1, "x").covers("anything")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('reason = "database upgrade, change 4711"', "", r"window\[0\].reason: say why"),
        ('"database upgrade, change 4711"', '" "', r"window\[0\].reason: say why"),
        (
            "2026-11-20T22:00:00Z",
            "2026-11-20T22:00:00",
            r"\[0\].from = .*: must be a whole minute with its offset",
        ),
        ("2026-11-20T22:00:00Z", "2026-11-20T22:00:30Z", r"must be a whole minute"),
        ("2026-11-20T22:00:00Z", "2026-11-22T22:00:00Z", r"window\[0\].to = .*: must be after from"),
        ("to = ", "until = ", r"window\[0\].until: is not known; there are from, to, reason"),
        ('["run-*"]', '"run-*"', r"window\[0\].slos = 'run-\*': must be a list"),
        ('"ops"', "7", r"window\[0\].by = 7: must be a name"),
        ("[[window]]", "[[windows]]", r"must hold tables under \[\[window\]\] and nothing else"),
        ("[[window]]", "[[window", r"cannot be read as TOML"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    """Each mistake names the entry, the key and the remedy; a window without a reason is none."""
    assert old in FILE
    (tmp_path / "maintenance.toml").write_text(FILE.replace(old, new))
    with pytest.raises(ConfigError, match=told):
        maintenance.load(tmp_path / "maintenance.toml")


def test_both_figures_are_told(store: Store) -> None:
    """Budget and burn leave the events of the window out, stand beside those with them, and no alert is raised."""
    told = evaluate(store, [SUCCESS], AlertSettings(), NOW_NS, [WINDOW]).told
    answer = report.slos(store, [SUCCESS], NOW_NS, windows=[WINDOW])
    (row,) = answer["items"]
    plain = report.slos(store, [SUCCESS], NOW_NS)["items"][0]

    assert told == 0
    assert (row["events"], row["bad"], row["budget_left"], row["burn"], row["status"]) == (50, 0, 1, 0, "ok")
    assert row["with_maintenance"] == {key: plain[key] for key in ("events", "bad", "budget_left", "burn")}
    assert (plain["events"], plain["bad"], plain["status"]) == (80, 20, "exhausted")
    assert plain["with_maintenance"] == {key: plain[key] for key in ("events", "bad", "budget_left", "burn")}
    (window,) = answer["maintenance"]
    assert (window["reason"], window["slos"], window["afterwards"]) == ("database upgrade", ["*"], True)
    steps = report.history(store, SUCCESS, NOW_NS, points=1440, windows=[WINDOW])["items"]
    assert (sum(s["bad"] for s in steps), sum(s["good"] for s in steps)) == (0, 50)


def test_only_what_is_named_is_left_out(store: Store) -> None:
    """A window of other SLOs changes nothing, two that overlap leave each event out once, and without any the alert
    comes."""
    other = replace(WINDOW, slos=("tool-*",))
    assert evaluate(store, [SUCCESS], AlertSettings(), NOW_NS, [other]).told > 0
    assert report.slos(store, [SUCCESS], NOW_NS, windows=[other])["items"][0]["bad"] == 20
    wider = replace(WINDOW, first_minute=MINUTE - 30)
    row = report.slos(store, [SUCCESS], NOW_NS, windows=[WINDOW, wider])["items"][0]
    assert (row["events"], row["bad"]) == (40, 0)
    assert row["with_maintenance"]["events"] == 80


def test_every_change_is_recorded(store: Store) -> None:
    """Declaring, changing and withdrawing a window leave a row each, once; nothing is ever taken out of the record."""
    moved = replace(WINDOW, end_minute=MINUTE)
    for n, windows in enumerate(([], [WINDOW], [WINDOW], [moved], [moved], [], [WINDOW])):
        evaluate(store, [], AlertSettings(), NOW_NS + n, windows)
    with store.cursor() as c:
        rows = c.execute("SELECT at_ns, change, end_minute FROM maintenance_log ORDER BY at_ns, change DESC").fetchall()

    assert [(at - NOW_NS, change, MINUTE - end) for at, change, end in rows] == [
        (1, "declared", 10),
        (3, "withdrawn", 10),
        (3, "declared", 0),
        (5, "withdrawn", 0),
        (6, "declared", 10),
    ]
    assert report.slos(store, [], NOW_NS, windows=[WINDOW])["maintenance"][0]["declared_at"].startswith("2026")


def test_a_window_to_come_is_shown(store: Store) -> None:
    """What is planned stands in the answer before it begins; what no period reaches any more does not."""
    later = Maintenance(MINUTE + 60, MINUTE + 90, "upgrade")
    gone = Maintenance(0, 60, "upgrade")
    shown = report.slos(store, [SUCCESS], NOW_NS, windows=[gone, later])["maintenance"]

    assert [(w["declared_at"], w["afterwards"]) for w in shown] == [(None, False)]


def test_counts_stay_as_they_are(store: Store) -> None:
    """Maintenance is applied when counts are read: declaring it counts nothing again."""
    evaluate(store, [SUCCESS], AlertSettings(), NOW_NS)
    with store.transaction() as c:
        assert not slo_events.refresh(c, [SUCCESS], NOW_NS)
    evaluate(store, [SUCCESS], AlertSettings(), NOW_NS, [WINDOW])
    with store.cursor() as c:
        assert c.execute("SELECT sum(good + bad) FROM slo_minutes").fetchall() == [(80,)]
