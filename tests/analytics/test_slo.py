"""Burn rates and budgets: the arithmetic, the words and the report."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from analytics import slo as burn_rates
from analytics import slo_events
from analytics.calendars import Calendar
from analytics.reports import slos as report
from analytics.slo import MINUTE_NS
from tests.analytics.objectives import NOW_NS, SUCCESS
from tests.stores import empty_store
from tests.tables import put, run


def _burning(long: tuple[int, int], short: tuple[int, int]) -> pl.DataFrame:
    rows = [("s", 1, "{}", w, g, b, 0, 0, 0) for w, (g, b) in ((60, long), (5, short), (360, long), (30, short))]
    rows += [("s", 1, "{}", 1440, 1000, 0, 0, 0, 0), ("s", 1, "{}", 120, 10, 0, 0, 0, 0)]
    return burn_rates.burns(pl.DataFrame(rows, schema=slo_events._COUNTS, orient="row"), SUCCESS)


@pytest.mark.parametrize(
    ("long", "short", "expected"),
    [
        ((2, 98), (0, 10), [0, 1]),  # both burn
        ((2, 98), (10, 0), []),  # over by now: the short window is clean
        ((95, 5), (0, 10), []),  # just a blip
        ((50, 50), (5, 5), [1]),  # fast enough for the slow pair only: burn 10
        ((0, 9), (0, 9), []),  # too few events
        ((9, 1), (0, 1), []),  # one bad event pages nobody
        ((0, 10), (0, 2), [0, 1]),
        ((0, 10), (0, 0), []),  # nothing in the short window
    ],
)
def test_pairs_need_both_windows_and_enough_events(
    long: tuple[int, int], short: tuple[int, int], expected: list[int]
) -> None:
    """A pair breaches when both windows burn above its factor and there is enough to judge."""
    assert burn_rates.breaches(_burning(long, short), SUCCESS)["pair"].to_list() == expected


@pytest.mark.parametrize(
    ("left", "burn", "words"),
    [
        (None, None, "no events yet"),
        (1.0, None, "no events lately; the budget lasts"),
        (0.4, 0.0, "nothing is burning; the budget lasts"),
        (0.4, 0.9, "at this rate the budget lasts the period"),
        (0.5, 14.4, "at this rate the budget is gone in 25 h"),
        (0.14, 14.4, "at this rate the budget is gone in 7 h"),
        (0.9, 2.0, "at this rate the budget is gone in 14 d"),
        (0.01, 20.0, "at this rate the budget is gone in 22 min"),
        (0.0, 3.0, "the budget is gone"),
        (-0.3, 3.0, "the budget is overspent by 30%"),
        (-18.6, 3.0, "the budget is spent 20 times over"),
    ],
)
def test_outlook_in_words(left: float | None, burn: float | None, words: str) -> None:
    """Budget and pace read as a sentence in every case."""
    assert burn_rates.outlook(left, burn, SUCCESS, NOW_NS) == words


MONTH = replace(SUCCESS, calendar=Calendar(1, "M", datetime.fromisoformat("2026-01-01"), "Europe/Rome"))


@pytest.mark.parametrize(
    ("at", "left", "burn", "minutes"),
    [
        ("2026-10-11T00:00", 0.5, 2.0, 5 * 1440),  # l e / (r (burn - 1)) = 0.5 x 10 d / 1
        ("2026-10-11T00:00", 0.5, 1.2, None),  # 25 d: October ends before, in 21 d
        ("2026-10-11T00:00", 0.5, 1.0, None),
        ("2026-10-11T00:00", 0.0, 0.0, 0),
        ("2026-10-31T23:00", 0.9, 20.0, None),  # an hour is left
        ("2026-10-11T00:00", None, 2.0, None),
    ],
)
def test_a_calendar_period_is_gone_or_ends(at: str, left: float | None, burn: float, minutes: float | None) -> None:
    """Events that go on to come add to the budget of a calendar period, which lasts if the period ends before."""
    now_ns = int(datetime.fromisoformat(at).replace(tzinfo=ZoneInfo("Europe/Rome")).timestamp()) * 10**9 - MINUTE_NS
    found = burn_rates.exhaustion_minutes(left, burn, MONTH, now_ns)

    assert found == (None if minutes is None else pytest.approx(minutes))
    words = burn_rates.outlook(left, burn, MONTH, now_ns)
    assert ("is gone" in words) == (minutes is not None)


def test_a_calendar_period_begins_anew(tmp_path: Path) -> None:
    """Of a month with local clocks only its own events count, to the minute; the report names its ends; burn windows
    reach back into the month before."""
    store = empty_store(tmp_path / "s.duckdb")
    midnight = int(datetime.fromisoformat("2026-10-31T23:00:00+00:00").timestamp()) * 10**9
    now_ns = midnight + 59 * MINUTE_NS
    with store.transaction() as cursor:
        runs = [run(midnight + m * MINUTE_NS, status="error" if m < 0 else "ok") for m in range(-40, 60)]
        put(cursor, "runs", runs)
        slo_events.refresh(cursor, [MONTH], midnight - MINUTE_NS)
        slo_events.refresh(cursor, [MONTH], now_ns)
    before = report.slos(store, [MONTH], midnight - MINUTE_NS)["items"][0]
    after = report.slos(store, [MONTH], now_ns)["items"][0]
    steps = report.history(store, MONTH, now_ns)["items"]
    store.close()

    assert (before["events"], before["bad"], before["period_ends"]) == (40, 40, "2026-10-31T23:00:00.000000Z")
    assert (after["events"], after["bad"], after["budget_left"], after["period"]) == (60, 0, 1, "month (Europe/Rome)")
    assert (after["period_begins"], after["period_ends"][:10]) == (before["period_ends"], "2026-11-30")
    assert {w["window"]: w["events"] for w in after["windows"]} == {
        "5m": 5, "30m": 30, "1h": 60, "2h": 100, "6h": 100, "1d": 100, "month (Europe/Rome)": 60
    }  # fmt: skip
    assert sum(s["good"] for s in steps) == 60


def test_the_chart_of_a_young_objective_shows_what_there_is(tmp_path: Path) -> None:
    """Events of the last 100 minutes of a month are 100 steps of the chart, not one; the last is what is left."""
    store = empty_store(tmp_path / "s.duckdb")
    with store.transaction() as cursor:
        put(cursor, "runs", [run(NOW_NS - m * MINUTE_NS, status="error" if m == 50 else "ok") for m in range(100)])
        slo_events.refresh(cursor, [SUCCESS], NOW_NS)
    steps = report.history(store, SUCCESS, NOW_NS)["items"]
    left = report.slos(store, [SUCCESS], NOW_NS)["items"][0]["budget_left"]
    store.close()

    assert (len(steps), steps[0]["budget_left"]) == (100, 1)
    assert steps[-1]["budget_left"] == pytest.approx(left) == pytest.approx(1 - 0.01 / 0.05)


def test_budget_left() -> None:
    """One minus the bad share over the allowed share; overspent is below zero, nothing is unknown."""
    assert burn_rates.budget_left(95, 5, 0.95) == pytest.approx(0)
    assert burn_rates.budget_left(100, 0, 0.95) == 1
    assert burn_rates.budget_left(90, 10, 0.95) == pytest.approx(-1)
    assert burn_rates.budget_left(0, 0, 0.95) is None


def test_report(tmp_path: Path) -> None:
    """The report names budget, burn and words, worst first, and tells what was never counted."""
    store = empty_store(tmp_path / "s.duckdb")
    slo = replace(SUCCESS, group_by=("tenant",))
    waiting = report.slos(store, [slo], NOW_NS)["items"]
    with store.transaction() as cursor:
        bad = [run(NOW_NS - m * MINUTE_NS, status="error" if m < 40 else "ok", tenant="acme") for m in range(100)]
        put(cursor, "runs", bad + [run(NOW_NS - m * MINUTE_NS, tenant="globex") for m in range(100)])
        slo_events.refresh(cursor, [slo], NOW_NS)
    answer = report.slos(store, [slo], NOW_NS)
    items = answer["items"]
    history = report.history(store, slo, NOW_NS, "acme", points=1440)["items"]
    store.close()

    assert (waiting[0]["status"], waiting[0]["outlook"]) == ("not counted yet", "not counted yet")
    assert [(i["group"]["tenant"], i["status"]) for i in items] == [("acme", "exhausted"), ("globex", "ok")]
    assert items[0]["budget_left"] == pytest.approx(1 - 0.4 / 0.05)
    assert items[0]["outlook"] == "the budget is spent 8 times over"
    assert items[0]["burn"] == pytest.approx(40 / 60 / 0.05)
    assert [p["breaching"] for p in items[0]["pairs"]] == [False, True, True]
    assert history[-1]["budget_left"] == pytest.approx(items[0]["budget_left"])
    assert sum(h["bad"] for h in history) == 40
    assert answer["as_of"].endswith("Z")


@pytest.mark.parametrize(
    ("bad", "good", "status"),
    [(1, 0, "few events"), (4, 0, "few events"), (1, 11, "few events"), (2, 8, "exhausted"), (0, 1, "ok")],
)
def test_a_handful_of_events_exhausts_no_budget(tmp_path: Path, bad: int, good: int, status: str) -> None:
    """A budget that fewer events have spent than alerts ask for is shown as such, after those that burn."""
    store = empty_store(tmp_path / "s.duckdb")
    with store.transaction() as cursor:
        statuses = ["error"] * bad + ["ok"] * good
        put(cursor, "runs", [run(NOW_NS - m * MINUTE_NS, status=s) for m, s in enumerate(statuses)])
        slo_events.refresh(cursor, [SUCCESS], NOW_NS)
    (item,) = report.slos(store, [SUCCESS], NOW_NS)["items"]
    store.close()

    assert item["status"] == status
    assert (item["outlook"] == "too few events to judge by") == (status == "few events")


def test_shipped_profiles_are_consistent() -> None:
    """factor = spent * period / long for every shipped pair, and short is a twelfth of long (pyrra: or near)."""
    for profile in burn_rates.profiles().values():
        period = burn_rates.minutes_of(profile["period"])
        for row, pair in zip(profile["pairs"], burn_rates.scaled_pairs(profile, period), strict=True):
            assert row["spent"] * period / pair.long_minutes == pytest.approx(pair.factor, rel=0.01)
            assert pair.long_minutes / pair.short_minutes in (12, 16)
