"""The overview's figures against the rows they come from."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from analytics.reports.choices import choices
from analytics.reports.overview import DAY_NS, overview
from collector.store import Store
from tests.stores import DEMO_NOW_NS, demo_store, empty_store

TODAY_NS = DEMO_NOW_NS // DAY_NS * DAY_NS


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The demo store."""
    store = demo_store(tmp_path_factory.mktemp("demo") / "spanledger.duckdb")
    yield store
    store.close()


def one(store: Store, query: str) -> Any:
    """The single value of a query."""
    with store.cursor() as c:
        return c.execute(query).fetchall()[0][0]


def test_today(store: Store) -> None:
    """Runs and cost of today are those that began today; the running total ends at today's cost."""
    view = overview(store, DEMO_NOW_NS)
    cost = one(store, f"SELECT sum(cost_pusd) FROM calls WHERE start_ns >= {TODAY_NS}")

    assert view["runs"]["today"]["runs"] == one(store, f"SELECT count(*) FROM runs WHERE started_ns >= {TODAY_NS}")
    assert Decimal(view["cost"]["today"]["cost_usd"]) * 10**12 == cost
    assert view["cost"]["today_by_hour"][-1] == view["cost"]["today"]["cost_usd"]
    assert len(view["cost"]["today_by_hour"]) == 16


def test_yesterday_is_compared_until_the_same_time(store: Store) -> None:
    """Yesterday's figures end at this time of day; all of yesterday is beside them."""
    view = overview(store, DEMO_NOW_NS)
    until = DEMO_NOW_NS - DAY_NS
    query = f"SELECT sum(cost_pusd) FROM calls WHERE start_ns >= {TODAY_NS - DAY_NS} AND start_ns <= {until}"

    assert Decimal(view["cost"]["yesterday"]["cost_usd"]) * 10**12 == one(store, query)
    assert Decimal(view["cost"]["all_yesterday"]["cost_usd"]) > Decimal(view["cost"]["yesterday"]["cost_usd"])
    assert view["cost"]["yesterday_by_hour"][-1] == view["cost"]["all_yesterday"]["cost_usd"]


def test_waste_of_all_findings(store: Store) -> None:
    """At most five findings are listed, but waste and number are of all in the last 24 hours."""
    view = overview(store, DEMO_NOW_NS)
    where = f"WHERE ended_ns >= {DEMO_NOW_NS - DAY_NS}"

    assert len(view["findings"]) <= 5
    assert view["finding_count"] == one(store, f"SELECT count(*) FROM findings {where}")
    assert Decimal(view["wasted_usd"]) * 10**12 == one(store, f"SELECT sum(wasted_pusd) FROM findings {where}")


def test_one_tenant_sees_itself_only(store: Store) -> None:
    """With a tenant everything is of that tenant; the tenants add up."""
    views = [overview(store, DEMO_NOW_NS, tenant) for tenant in choices(store)["tenant"]]
    total = overview(store, DEMO_NOW_NS)

    assert sum(v["runs"]["today"]["runs"] for v in views) == total["runs"]["today"]["runs"]
    assert sum(Decimal(v["cost"]["today"]["cost_usd"] or 0) for v in views) == Decimal(
        total["cost"]["today"]["cost_usd"]
    )
    assert {f["tenant"] for f in views[0]["findings"]} <= {choices(store)["tenant"][0]}
    assert choices(store, "globex")["tenant"] == ["globex"]


def test_nothing_yet(tmp_path: Path) -> None:
    """An empty store is said to be empty, its cost is $0 and its success is not known."""
    store = empty_store(tmp_path / "spanledger.duckdb")
    view = overview(store, DEMO_NOW_NS)
    store.close()

    assert view["empty"]
    assert view["runs"]["today"]["success"] is None
    assert view["cost"]["today"]["cost_usd"] == "0"
    assert len(view["runs"]["by_hour"]) == 24
