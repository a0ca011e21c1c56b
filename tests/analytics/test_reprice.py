"""Repricing: shown first, applied at once, audited, reversible, and what a recomputation gives."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics import slo_events
from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from analytics.pricing.entries import ModelEntry, ToolEntry
from analytics.reports.reprice import list_reprices, repricing
from analytics.reprice import RepriceError, Selection, preview, reprice, undo
from analytics.slo import MINUTE_NS
from collector.store import Store
from tests.analytics.analysed import analysed_store, recompute
from tests.stores import DAY, DEMO_NOW_NS

OLD = PriceBook.seeded()
MONEY = "pricing, cost_pusd, booked_pusd, wasted_pusd, avoided_pusd, price_version, booked_version"
CALLS = f"SELECT trace_hi, trace_lo, span_id, call_hash, {MONEY} FROM calls ORDER BY ALL"
RUNS = (
    "SELECT run_id, cost_pusd, booked_pusd, wasted_pusd, avoided_pusd, priced_calls, unpriced_calls, unknown_calls, "
    "priced_tokens FROM runs ORDER BY ALL"
)


def dearer(input_usd: int = 9, model: str = "*") -> PriceBook:
    """The list with one dear entry above it, and priced tools."""
    usd = {"input": Decimal(input_usd), "output": Decimal(20)}
    return PriceBook.seeded([ModelEntry(model=model, usd=usd), ToolEntry(tool="*", usd={"call": Decimal("0.001")})])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The demo's runs, priced by the list."""
    store = analysed_store(tmp_path / "spanledger.duckdb", OLD)
    yield store
    store.close()


def rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    """An answer."""
    with store.cursor() as c:
        return c.execute(sql).fetchall()


def total(store: Store) -> int:
    """What all calls cost."""
    return int(rows(store, "SELECT sum(cost_pusd)::HUGEINT FROM calls")[0][0])


def test_a_preview_changes_nothing_and_a_repricing_does_what_it_showed(store: Store) -> None:
    """The difference by day and model is the same, sums up to the totals, and those are the calls'."""
    before, calls = total(store), rows(store, CALLS)
    shown = preview(store, dearer())
    assert rows(store, CALLS) == calls
    done = reprice(store, dearer(), Selection(), actor="ada", now_ns=DEMO_NOW_NS)
    assert done.difference.equals(shown.difference)
    assert (shown.reprice, done.reprice, shown.changed_calls) == (None, 1, done.changed_calls)
    assert (done.old_pusd, done.new_pusd) == (before, total(store))
    assert done.difference["new_pusd"].sum() == done.new_pusd
    assert done.changed_calls > 100


def test_a_repricing_gives_what_a_recomputation_gives(store: Store) -> None:
    """With the book in force, calls and runs stay as they are when every trace is read again.

    Only what findings wasted waits for the next pass, for which their runs are due: it may be a call that had no price.
    """
    book = dearer()
    reprice(store, book, Selection(), actor="ada", now_ns=DEMO_NOW_NS)
    costs = [row[:7] for row in rows(store, CALLS)]
    assert rows(store, "SELECT count(*) FROM runs WHERE findings > 0 AND due_ns = 0") != [(0,)]
    Runner(store, book, lambda: DEMO_NOW_NS).run_pass(DEMO_NOW_NS)
    calls, runs = rows(store, CALLS), rows(store, RUNS)
    assert [row[:7] for row in calls] == costs
    assert any(row[7] for row in calls)
    recompute(store, book)
    assert rows(store, CALLS) == calls
    assert rows(store, RUNS) == runs


def test_booked_costs_stay(store: Store) -> None:
    """What was booked by the first book is still there, with its version; only calls without a price are booked new."""
    sql = "SELECT span_id, call_hash, booked_pusd, booked_version FROM calls WHERE booked_pusd IS NOT NULL ORDER BY ALL"
    before = set(rows(store, sql))
    reprice(store, dearer(), Selection(), actor="ada", now_ns=DEMO_NOW_NS)
    after = set(rows(store, sql))
    assert before < after
    assert {row[3] for row in after - before} == {dearer().version}


def test_undo_restores_every_cost(store: Store) -> None:
    """Costs, bookings, coverage and the sums of runs are those from before, and it can be done once."""
    calls = [row[:9] for row in rows(store, CALLS)]
    runs = rows(store, RUNS)
    reprice(store, dearer(), Selection(), actor="ada", now_ns=DEMO_NOW_NS)
    done = undo(store, 1, actor="bob", now_ns=DEMO_NOW_NS + 1)
    assert [row[:9] for row in rows(store, CALLS)] == calls
    assert rows(store, RUNS) == runs
    assert done.new_pusd - done.old_pusd == -_difference(store)
    with pytest.raises(RepriceError, match="already"):
        undo(store, 1, actor="bob", now_ns=DEMO_NOW_NS + 2)
    with pytest.raises(RepriceError, match="not a repricing"):
        undo(store, 2, actor="bob", now_ns=DEMO_NOW_NS + 2)
    assert [row["actor"] for row in list_reprices(store, DEMO_NOW_NS)["items"]] == ["bob", "ada"]
    assert [row["undoes"] for row in list_reprices(store, DEMO_NOW_NS)["items"]] == [1, None]


def test_spend_and_budgets_follow_a_repricing(store: Store) -> None:
    """What tenants spent, as alerts count it, is the cost of their calls, also after a repricing and its undo."""

    def spent() -> int:
        with store.transaction() as c:
            slo_events.refresh(c, [], DEMO_NOW_NS)
            return int(c.execute("SELECT sum(cost_pusd) FROM spend_minutes").fetchall()[0][0])

    def cost() -> int:
        first_ns = f"(SELECT min(minute) FROM spend_minutes) * {MINUTE_NS}"
        return int(rows(store, f"SELECT sum(cost_pusd)::HUGEINT FROM calls WHERE start_ns >= {first_ns}")[0][0])

    before = spent()
    assert before == cost()
    reprice(store, dearer(), Selection(), actor="ada", now_ns=DEMO_NOW_NS)
    assert spent() == cost() != before
    undo(store, 1, actor="bob", now_ns=DEMO_NOW_NS + 1)
    assert spent() == before


def _difference(store: Store) -> int:
    """By how much the first repricing changed the total, by its audit row."""
    return int(rows(store, "SELECT (new_pusd - old_pusd)::HUGEINT FROM reprices WHERE reprice = 1")[0][0])


def test_undo_leaves_alone_what_changed_since(store: Store) -> None:
    """A call that a later repricing gave another cost keeps that one."""
    reprice(store, dearer(9), Selection(), actor="ada", now_ns=DEMO_NOW_NS)
    reprice(store, dearer(11, "gpt-5-mini"), Selection(model="gpt-5-mini"), actor="ada", now_ns=DEMO_NOW_NS)
    wanted = "SELECT call_group FROM call_groups WHERE model = 'gpt-5-mini'"
    kept = f"SELECT span_id, cost_pusd FROM calls WHERE call_group IN ({wanted})"
    before = sorted(rows(store, kept))
    undo(store, 1, actor="ada", now_ns=DEMO_NOW_NS)
    assert sorted(rows(store, kept)) == before


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    days=st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted), model=st.sampled_from([None, "gpt-5-mini", "x"])
)
def test_only_the_selected_calls_change(store: Store, days: list[int], model: str | None) -> None:
    """Calls outside of the period or of other models keep their cost and version; the runs still sum up."""
    selection = Selection(DEMO_NOW_NS - days[1] * DAY, DEMO_NOW_NS - days[0] * DAY, model)
    outside = (
        "SELECT trace_lo, span_id, call_hash, cost_pusd, price_version FROM calls JOIN call_groups USING (call_group) "
        f"WHERE NOT (start_ns >= {selection.from_ns} AND start_ns < {selection.to_ns} "
        f"AND {f'coalesce(model = {model!r}, false)' if model else 'true'}) ORDER BY ALL"
    )
    before = rows(store, outside)
    reprice(store, dearer(days[0] + 1), selection, actor="ada", now_ns=DEMO_NOW_NS)
    assert rows(store, outside) == before
    assert rows(store, "SELECT sum(cost_pusd)::HUGEINT FROM runs") == [(total(store),)]


def test_a_failure_leaves_everything_as_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The change is one transaction: without its audit row there is no new price either."""
    calls, runs = rows(store, CALLS), rows(store, RUNS)
    monkeypatch.setattr("analytics.reprice._audit", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        reprice(store, dearer(), Selection(), actor="ada", now_ns=DEMO_NOW_NS)
    assert (rows(store, CALLS), rows(store, RUNS)) == (calls, runs)


def test_the_answer_lists_the_days_and_models_that_change(store: Store) -> None:
    """Amounts are exact decimal texts that add up."""
    answer = repricing(preview(store, dearer(model="gpt-5-mini"), Selection(model="gpt-5-mini")))
    assert {item["model"] for item in answer["items"]} == {"gpt-5-mini"}
    assert sum(Decimal(item["difference_usd"]) for item in answer["items"]) == Decimal(str(answer["difference_usd"]))


def test_no_calls_is_no_error(tmp_path: Path) -> None:
    """An empty selection shows and does nothing."""
    store = analysed_store(tmp_path / "empty.duckdb", OLD, 0)
    done = reprice(store, dearer(), Selection(), actor="ada", now_ns=1)
    assert (done.calls, done.old_pusd, done.difference.height) == (0, 0, 0)
    assert isinstance(done.difference, pl.DataFrame)
    store.close()
