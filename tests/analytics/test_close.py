"""Period close: a closed month is frozen, and what changes later is a correction."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics import close
from analytics.close import CloseError, close_month, closed_months, month_costs, record_corrections
from analytics.owned_calls import NO_OWNERS
from analytics.owners import OwnerEntry, OwnerMap
from analytics.pricing.book import PriceBook
from analytics.pricing.entries import ModelEntry
from analytics.reports.costs import list_costs
from analytics.reports.reprice import closed_month
from analytics.reprice import Selection, reprice
from collector.store import Store
from tests.stores import DAY, DEMO_NOW_NS, demo_store

MONTH = "2026-11"
LATER = DEMO_NOW_NS + 20 * DAY
OWNERS = OwnerMap(
    (OwnerEntry((("search", 1), ("billing", 2)), tenant="acme"), OwnerEntry((("ops", 1),), tenant="globex"))
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The demo store, all of it in November 2026."""
    store = demo_store(tmp_path / "spanledger.duckdb", 60)
    yield store
    store.close()


def change(store: Store, sql: str) -> None:
    """What something else does to the calls."""
    with store.cursor() as c:
        c.execute(sql)


def total(store: Store) -> int:
    """What all calls cost now."""
    return int(Decimal(str(list_costs(store, LATER)["total"]["cost_usd"])).scaleb(12))


def test_a_closed_month_is_what_it_came_to(store: Store) -> None:
    """Frozen sums equal the answer for costs, by owner and by everything together; nothing is corrected."""
    closed = close_month(store, MONTH, owners=OWNERS, actor="ada", now_ns=LATER)
    assert (closed.frozen_pusd, closed.corrections) == (total(store), 0)
    assert record_corrections(store, OWNERS, LATER) == 0
    frozen = month_costs(store, MONTH, ("owner",))
    answer = list_costs(store, LATER, group_by=["owner"], owners=OWNERS)["items"]
    told = {row["owner"]: (int(Decimal(row["cost_usd"] or 0).scaleb(12)), row["llm_calls"]) for row in answer}
    assert {row["owner"]: (row["cost_pusd"], row["llm_calls"]) for row in frozen.iter_rows(named=True)} == told


@pytest.mark.slow
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    deltas=st.lists(st.integers(-5, 5), min_size=1, max_size=3), keys=st.sets(st.sampled_from(close.KEYS), max_size=3)
)
def test_frozen_and_corrections_add_up(store: Store, deltas: list[int], keys: set[str]) -> None:
    """Whatever changes in between: the frozen rows never move, all rows add up to what the month comes to now."""
    change(store, "DELETE FROM closed_months; DELETE FROM month_costs")
    frozen = close_month(store, MONTH, actor="ada", now_ns=LATER).frozen_pusd
    for number, delta in enumerate(deltas):
        change(store, f"UPDATE calls SET cost_pusd = cost_pusd + {delta} WHERE cost_pusd > 9 AND rowid % 3 = {number}")
        record_corrections(store, NO_OWNERS, LATER + number)
    found = month_costs(store, MONTH, tuple(sorted(keys)))
    assert found.filter(pl.col("entry") == 0)["cost_pusd"].sum() == frozen
    assert found["cost_pusd"].sum() == total(store)
    assert found["input_tokens"].sum() == list_costs(store, LATER)["total"]["input_tokens"]


def test_repricing_late_calls_and_new_owners_become_corrections(store: Store) -> None:
    """Each is an entry of its own with its time; the answer shows frozen, corrections and their sum."""
    close_month(store, MONTH, owners=OWNERS, actor="ada", now_ns=LATER)
    book = PriceBook.seeded([ModelEntry(model="*", usd={"input": Decimal(5)})])
    reprice(store, book, Selection(), actor="ada", now_ns=LATER)
    assert record_corrections(store, OWNERS, LATER + 1) > 0
    change(store, "INSERT INTO calls SELECT * REPLACE (start_ns + 1 AS start_ns) FROM calls LIMIT 3")
    assert record_corrections(store, OWNERS, LATER + 2) > 0
    assert record_corrections(store, NO_OWNERS, LATER + 3) > 0
    found = month_costs(store, MONTH, ())
    assert found["entry"].to_list() == [0, 1, 2, 3]
    assert found["at_ns"].to_list() == [LATER, LATER + 1, LATER + 2, LATER + 3]
    assert found["cost_pusd"].to_list()[3] == 0  # an owner is not an amount
    month = closed_month(closed_months(store)[0])
    assert month["corrections"] == 3
    assert Decimal(month["frozen_usd"]) + Decimal(month["corrections_usd"]) == Decimal(month["cost_usd"])


def test_retention_is_no_correction(store: Store) -> None:
    """Once calls of the month may have been deleted by age, it stays as it is."""
    close_month(store, MONTH, actor="ada", now_ns=LATER)
    change(store, "DELETE FROM calls")
    change(store, f"INSERT INTO store_facts VALUES ('horizon_ns', '{DEMO_NOW_NS}')")
    assert record_corrections(store, NO_OWNERS, LATER) == 0


def test_only_a_complete_month_closes_and_only_once(store: Store) -> None:
    """Refused: a running month, one that is closed, unread spans, a wrong name; each says what to do."""
    with pytest.raises(CloseError, match="has not ended"):
        close_month(store, MONTH, actor="ada", now_ns=DEMO_NOW_NS)
    with pytest.raises(CloseError, match="is not closed"):
        month_costs(store, MONTH, ())
    for wrong in ("november", "2026-13", "2026-1", "0001-01"):
        with pytest.raises(CloseError, match="such as 2026-10"):
            close_month(store, wrong, actor="ada", now_ns=LATER)
    close_month(store, MONTH, actor="ada", now_ns=LATER)
    with pytest.raises(CloseError, match="closed already"):
        close_month(store, MONTH, actor="ada", now_ns=LATER)
    with pytest.raises(CloseError, match="not a key"):
        month_costs(store, MONTH, ("colour",))
    change(store, "DELETE FROM watermarks")
    with pytest.raises(CloseError, match="try again"):
        close_month(store, "2026-10", actor="ada", now_ns=LATER)


def test_a_month_without_calls_closes_and_can_be_corrected(store: Store) -> None:
    """Late calls of a month that was empty are its first correction."""
    assert close_month(store, "2026-09", actor="ada", now_ns=LATER).frozen_pusd == 0
    september = close.extent("2026-09")[0]
    change(store, f"UPDATE calls SET start_ns = {september} WHERE rowid < 5")
    assert record_corrections(store, NO_OWNERS, LATER) > 0
    assert month_costs(store, "2026-09", ("day",))["day"].unique().to_list() == [date(2026, 9, 1)]
