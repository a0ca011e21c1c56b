"""The cost explorer: whatever it is looked at by, it tells what the costs tell, and why they differ."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from analytics import cost_bins
from analytics.drivers import PARTS
from analytics.owners import OwnerMap
from analytics.reports import explorer
from analytics.reports.costs import FILTERS, GROUP_KEYS, list_costs
from analytics.reports.explorer import INCOMPARABLE, Question, compare, explore
from analytics.reports.values import BadQuestion
from collector.store import Store
from tests.stores import DAY, DEMO_NOW_NS, demo_store

FROM_NS = DEMO_NOW_NS - 3 * DAY
BEFORE_NS = FROM_NS - 3 * DAY


@pytest.fixture(scope="module", params=("calls", "bins"))
def store(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Store]:
    """The demo store, as it comes and with its calls summed."""
    store = demo_store(tmp_path_factory.mktemp("store") / "spanledger.duckdb", runs=120)
    if request.param == "bins":
        with store.transaction() as c:
            cost_bins.touch_where(c, "true", [], 0)
        assert cost_bins.refresh(store, DEMO_NOW_NS) > 0
    yield store
    store.close()


def _total(row: Any, name: str) -> Decimal:
    return Decimal(row[name] or 0)


@pytest.mark.parametrize(
    "keys", [(key,) for key in GROUP_KEYS] + [("tenant", "model"), ("owner", "day"), ("agent", "user")]
)
def test_it_tells_what_costs_tell(store: Store, keys: tuple[str, ...]) -> None:
    """By any key: the rows and the total are those of the costs, but for the number of runs."""
    asked = Question(keys, FROM_NS, DEMO_NOW_NS)
    found = explore(store, DEMO_NOW_NS, asked, "day", compared=True)
    plain = list_costs(store, DEMO_NOW_NS, group_by=keys, from_ns=FROM_NS, to_ns=DEMO_NOW_NS, limit=1000)

    def bare(rows: list[Any]) -> list[Any]:
        return sorted(({k: v for k, v in row.items() if k != "runs"} for row in rows), key=str)

    assert bare(found["items"]) == bare(plain["items"])
    assert bare([found["total"]]) == bare([plain["total"]])
    assert sum(_total(r, "cost_usd") for r in found["over_time"]) == _total(plain["total"], "cost_usd")
    assert (found["drivers"] is None) == bool(set(keys) & set(INCOMPARABLE))


@pytest.mark.parametrize("keys", [("run",), ("session",), ("run", "model"), ("session", "run")])
def test_the_dearest_of_many_are_told(store: Store, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...]) -> None:
    """Of more runs or sessions than are shown, those that cost most, with all that they cost."""
    asked = Question(keys, FROM_NS, DEMO_NOW_NS)
    everything = explore(store, DEMO_NOW_NS, asked, "day", compared=False)["items"]
    monkeypatch.setattr(explorer, "MOST_GROUPS", 5)
    found = explore(store, DEMO_NOW_NS, asked, "day", compared=False)["items"]

    assert len(everything) > 5
    assert [row["cost_usd"] for row in found] == [row["cost_usd"] for row in everything[:5]]
    assert [row for row in found if row not in everything] == []


def test_the_rest_of_a_chart_is_told_together(store: Store) -> None:
    """Over time some groups are told apart and the others as one: it adds up to the same, day by day."""
    asked = Question(("agent",), FROM_NS, DEMO_NOW_NS)
    all_ = explore(store, DEMO_NOW_NS, asked, "day", compared=False)
    some = explore(store, DEMO_NOW_NS, asked, "day", compared=False, series=2)
    dearest = {row["agent"] for row in all_["items"][:2]}

    def by_day(found: Any) -> dict[str, Decimal]:
        days = {row["day"] for row in found["over_time"]}
        return {
            day: sum((_total(r, "cost_usd") for r in found["over_time"] if r["day"] == day), Decimal()) for day in days
        }

    assert {row["agent"] for row in some["over_time"]} == dearest | {explorer.REST}
    assert by_day(some) == by_day(all_)


@pytest.mark.parametrize("key", [key for key in GROUP_KEYS if key not in INCOMPARABLE])
def test_the_parts_explain_the_whole_difference(store: Store, key: str) -> None:
    """By every key that can be compared: parts add up to the difference of each group, groups to that of the totals."""
    found = compare(store, DEMO_NOW_NS, Question((key,), FROM_NS, DEMO_NOW_NS))
    sums = [
        list_costs(store, DEMO_NOW_NS, from_ns=begin, to_ns=begin + 3 * DAY)["total"] for begin in (BEFORE_NS, FROM_NS)
    ]

    for row in [*found["items"], found["total"]]:
        parts: dict[str, Any] = dict(row)
        assert sum(_total(parts, f"{part}_usd") for part in PARTS) == _total(row, "change_usd")
    assert sum(_total(row, "change_usd") for row in found["items"]) == _total(found["total"], "change_usd")
    assert _total(found["total"], "change_usd") == _total(sums[1], "cost_usd") - _total(sums[0], "cost_usd")
    assert all(row["sentence"].endswith(".") for row in found["items"])
    assert found["before"]["to_at"] == found["period"]["from_at"]


@pytest.mark.parametrize("key", FILTERS)
def test_every_key_can_be_a_filter(store: Store, key: str) -> None:
    """A slice of one value holds what the row of that value holds."""
    owners = OwnerMap()
    asked = Question((key,), FROM_NS, DEMO_NOW_NS, owners)
    row: dict[str, Any] = next(
        (
            dict(r)
            for r in explore(store, DEMO_NOW_NS, asked, "day", compared=False)["items"]
            if dict(r)[key] is not None
        ),
        {},
    )
    sliced = Question(("agent",), FROM_NS, DEMO_NOW_NS, owners, {key: str(row.get(key, "nobody"))})
    total: dict[str, Any] = dict(explore(store, DEMO_NOW_NS, sliced, "day", compared=False)["total"])

    assert all(total[name] == row[name] for name in ("cost_usd", "llm_calls", "tool_calls", "input_tokens") if row)
    assert row or not total["llm_calls"]


def test_what_cannot_be_compared_is_refused(store: Store) -> None:
    """Without a beginning, or by a key whose values belong to one period, there is no period before."""
    for asked, field in (
        (Question(("agent",), -(2**63), DEMO_NOW_NS), "from"),
        (Question(("agent", "day"), FROM_NS, DEMO_NOW_NS), "group_by"),
    ):
        with pytest.raises(BadQuestion) as refusal:
            compare(store, DEMO_NOW_NS, asked)
        assert refusal.value.field == field
