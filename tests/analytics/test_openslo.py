"""SLO files: what is read, and how each mistake is told."""

from datetime import datetime
from importlib import resources
from pathlib import Path

import pytest

from analytics import openslo
from analytics.calendars import Calendar
from analytics.slo import Condition
from collector.errors import ConfigError

EXAMPLES = Path(str(resources.files("analytics").joinpath("data/slos")))
RUNS = (EXAMPLES / "run-success.yaml").read_text()
COST = (EXAMPLES / "run-cost.yaml").read_text()


def _write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_examples_load() -> None:
    """Every shipped example is valid, and holds what its file says."""
    slos = {s.name: s for s in openslo.load(EXAMPLES)}

    assert list(slos) == ["run-cost", "run-latency", "run-success", "tool-success"]
    assert slos["run-cost"].good == (Condition("cost_usd", "lte", ("0.5",)),)
    assert slos["run-cost"].severity == "ticket"
    assert slos["run-success"].group_by == ("agent",)
    assert (slos["run-success"].team, slos["run-success"].objective) == ("agents", 0.95)
    assert slos["run-success"].runbook_url == "https://runbooks.example.com/run-success"
    assert slos["tool-success"].negated
    assert [p.name for p in slos["run-success"].pairs] == ["1h/5m", "6h/30m", "1d/2h", "3d/6h"]


def test_no_folder_means_no_slos(tmp_path: Path) -> None:
    """A folder that does not exist holds no SLOs."""
    assert openslo.load(tmp_path / "slos") == ()


def test_windows_scale_with_the_period(tmp_path: Path) -> None:
    """A shorter period gets shorter windows and the same factors."""
    (slo,) = openslo.load(_write(tmp_path, a=RUNS.replace("30d", "1w")))

    assert slo.period_minutes == 7 * 1440
    assert [(p.long_minutes, p.short_minutes) for p in slo.pairs] == [(14, 2), (84, 7), (336, 28), (1008, 84)]
    assert [p.factor for p in slo.pairs] == [14.4, 6, 3, 1]


CALENDAR = """- duration: 1M
      calendar: {startTime: 2026-01-01 00:00:00, timeZone: Europe/Rome}
"""


def _calendar(text: str) -> str:
    """The example over a calendar period."""
    start, rest = RUNS.split("- duration: 30d\n      isRolling: true\n")
    return start + text + rest


def test_periods_can_follow_a_calendar(tmp_path: Path) -> None:
    """A month, a quarter, a week, days by the clocks of a place; the windows are those of its usual length."""
    quarter = CALENDAR.replace("1M", "1Q").replace("2026-01-01 00:00:00", '"2026-02-01 06:30"')
    (month,) = openslo.load(_write(tmp_path, a=_calendar(CALENDAR)))
    (other,) = openslo.load(_write(tmp_path, a=_calendar(quarter)))

    assert month.calendar == Calendar(1, "M", datetime.fromisoformat("2026-01-01"), "Europe/Rome")
    assert [p.name for p in month.pairs] == ["1h/5m", "6h/30m", "1d/2h", "3d/6h"]
    assert str(other.calendar) == other.period_text == "quarter (Europe/Rome)"
    assert other.calendar == Calendar(1, "Q", datetime.fromisoformat("2026-02-01T06:30"), "Europe/Rome")
    assert other.period_minutes == 90 * 1440


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("1M", "1m", r"duration = '1m': write a whole number and one of d, w, M, Q, Y, as in 1M"),
        ("1M", "0M", r"duration = '0M': write a whole number"),
        ("1M", "2Y", r"duration = '2Y': must be at most 400 days"),
        ("Europe/Rome", "Rome", r"calendar.timeZone = 'Rome': is not a time zone: use a name of the IANA database"),
        ("2026-01-01 00:00:00", "2026-01-31 00:00:00", r"startTime = .*: must be a whole minute .* days 1 to 28"),
        ("2026-01-01 00:00:00", "2026-01-01T00:00:00Z", r"startTime = .*: must be a whole minute without an offset"),
        ("2026-01-01 00:00:00", "today", r"startTime = 'today': write when a period begins"),
        ("calendar:", "isRolling: true\n      calendar:", r"isRolling = True: a window either rolls or follows"),
        ("startTime", "start", r"startTime = None: write when a period begins"),
    ],
)
def test_mistakes_of_calendars_are_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    """Each names the key, its value and what to write instead."""
    assert old in CALENDAR
    with pytest.raises(ConfigError, match=told):
        openslo.load(_write(tmp_path, bad=_calendar(CALENDAR.replace(old, new))))


def test_days_of_tenants_are_events(tmp_path: Path) -> None:
    """An objective over what a tenant spends in a day loads as docs/slo.md shows it; a day has no agent."""
    text = COST.replace("events: runs", "events: tenant_days").replace("measure: cost_usd", "measure: spent_usd")
    assert text.count("tenant_days") == text.count("spent_usd") == 1
    (slo,) = openslo.load(_write(tmp_path, a=text))
    assert (slo.source, slo.good) == ("tenant_days", (Condition("spent_usd", "lte", ("0.5",)),))
    with pytest.raises(ConfigError, match=r"group_by\[0\] = 'agent': must be one of tenant$"):
        openslo.load(_write(tmp_path, a=text.replace("[tenant]", "[agent]")))


def test_indicator_of_another_document(tmp_path: Path) -> None:
    """indicatorRef finds an SLI of any file; other OpenSLO kinds are tolerated."""
    sli = """
apiVersion: openslo/v1
kind: Service
metadata: {name: agents}
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: cheap}
spec:
  thresholdMetric:
    metricSource: {type: spanledger, spec: {events: runs, measure: cost_usd, filter: {tenant: {not: [test, "demo-*"]}}}}
"""
    start, rest = COST.split("  indicator:")
    slo = start + "  indicatorRef: cheap\n  objectives:" + rest.split("  objectives:")[1]
    (found,) = openslo.load(_write(tmp_path, slo=slo, sli=sli))

    assert found.filter == (Condition("tenant", "not_in", ("test", "demo-*")),)
    with pytest.raises(ConfigError, match=r"indicatorRef = 'cheap': no document of kind SLI .* there are none"):
        openslo.load(_write(tmp_path, sli=sli.split("---")[0]))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("openslo/v1", "openslo/v2", r"apiVersion = 'openslo/v2': must be one of openslo/v1"),
        ("kind: SLO", "kind: SLA", r"document 1: kind = 'SLA': must be one of SLO, SLI"),
        ("name: run-success ", "name: Run_Success ", r"metadata.name = 'Run_Success': .* as in run-success"),
        ("target: 0.95", "target: 95", r"objectives\[0\].target = 95: must be above 0 and below 100 %"),
        ("target: 0.95", "target: 1", r"target = 1: .* leaves no budget"),
        ("target: 0.95", "target: high", r"target = 'high': must be a number"),
        ("target: 0.95", "targetPercent: 100", r"targetPercent = 100: must be above 0 and below 100 %"),
        ("duration: 30d", "duration: 1M", r"timeWindow\[0\].duration = '1M': write a whole number and m, h, d or w"),
        ("duration: 30d", "duration: 12h", r"duration = '12h': must be from 1d to 400d"),
        ("isRolling: true", "isRolling: false", r"isRolling = False: set isRolling: true, or give a calendar"),
        ("Occurrences", "Timeslices", r"budgetingMethod = 'Timeslices': only Occurrences"),
        ("events: runs  ", "events: spans  ", r"spec.events = 'spans': must be one of runs, tools, models"),
        (
            "type: spanledger\n            spec: {",
            "type: prometheus\n            spec: {",
            r"must be one of spanledger",
        ),
        ("{status: ok}", "{state: ok}", r"filter.state = 'ok': runs have no such column; there are tenant"),
        ("{status: ok}", "{status: 7}", r"filter.status = 7: must be a text"),
        ("{status: ok}", "{steps: {below: 7}}", r"steps.below = 7: compare a measure with one of lt"),
        ("[agent] ", "[session] ", r"group_by\[0\] = 'session': must be one of"),
        ("good:\n", "goods:\n", r"a ratioMetric needs total and either good or bad"),
        ("https://runbooks", "javascript://runbooks", r"must be an address that begins with https"),
        ("# spanledger/windows: relaxed ", "spanledger/windows: best #", r"windows = 'best': must be one of workbook"),
        ("# spanledger/min-events: ", "spanledger/min-event: ", r"is not known; there are spanledger/windows"),
        ("apiVersion", "\tapiVersion", r"is not valid YAML"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    """Each mistake names file, document, key, value and remedy."""
    assert old in RUNS
    with pytest.raises(ConfigError, match=told) as caught:
        openslo.load(_write(tmp_path, bad=RUNS.replace(old, new)))
    assert str(tmp_path / "bad.yaml") in str(caught.value)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """One start is enough to learn of all mistakes, also of a name that is used twice."""
    bad = RUNS.replace("target: 0.95", "target: 2")
    with pytest.raises(ConfigError) as caught:
        openslo.load(_write(tmp_path, a=bad, b=RUNS, c=RUNS, d="kind: SLO"))
    lines = str(caught.value).splitlines()

    assert len(lines) == 3
    assert "is taken" in str(caught.value)


def test_unreachable_windows_are_refused(tmp_path: Path) -> None:
    """Windows that could never fire are refused with the reason and what would work; what works is accepted."""
    low = RUNS.replace("target: 0.95", "target: 0.9")
    with pytest.raises(ConfigError) as caught:
        openslo.load(_write(tmp_path, low=low))

    for part in ("1h/5m", "the burn is 10", "needs more than 14.4", "above 93.06 %", "spanledger/windows to relaxed"):
        assert part in str(caught.value)
    (slo,) = openslo.load(_write(tmp_path, low=low.replace("# spanledger/windows:", "spanledger/windows:")))
    assert [p.factor for p in slo.pairs] == [4, 3, 2, 1]
    with pytest.raises(ConfigError, match=r"Set an objective above 75 %$"):
        openslo.load(
            _write(tmp_path, low=low.replace("0.9\n", "0.75\n").replace("# spanledger/windows:", "spanledger/windows:"))
        )
