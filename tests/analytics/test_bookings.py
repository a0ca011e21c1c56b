"""Bookings: what was booked stays a fact, and what turns out otherwise is an entry of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics import reprice
from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from collector.semconv import Flag
from collector.store import Store
from tests.analytics.arrivals import booked, clear, put
from tests.analytics.spans import SECOND, agent, llm, tool
from tests.stores import empty_store

BOOK = PriceBook.seeded()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    store = empty_store(tmp_path / "bookings.duckdb")
    yield store
    store.close()


def corrections(store: Store) -> list[tuple[Any, ...]]:
    """Reason, span and amounts of every correction, in order."""
    query = "SELECT reason, span_id, reversed_pusd, rebooked_pusd FROM booking_corrections ORDER BY at_ns, span_id"
    with store.cursor() as c:
        return c.execute(query).fetchall()


def test_what_is_no_call_any_more_is_reversed(store: Store) -> None:
    """A call that another span turns out to repeat is taken back by an entry, once, whatever is read again."""
    put(store, [agent(1), llm(2, 1, response_hash=7)])
    runner = Runner(store, BOOK, lambda: 0)
    runner.run_pass(SECOND)
    (amount,) = booked(store).values()
    put(store, [llm(3, 2, start=1, response_hash=7, batch=2)])
    runner.run_pass(2 * SECOND)
    assert corrections(store) == [("duplicate", 2, amount, 0)]
    put(store, [tool(4, 1, batch=3)])
    runner.run_pass(3 * SECOND)
    assert len(corrections(store)) == 1
    assert [key[2] for key in booked(store)] == [3]


def test_what_changes_is_booked_again(store: Store) -> None:
    """Usage that comes late, on the same call's outer span, reverses the booking and stands for it from then on."""
    put(store, [agent(1), llm(3, 2, output_tokens=None)])
    runner = Runner(store, BOOK, lambda: 0)
    runner.run_pass(SECOND)
    (before,) = booked(store).values()
    put(store, [llm(2, 1, batch=2)])
    runner.run_pass(2 * SECOND)
    (after,) = booked(store).values()
    assert after > before
    assert corrections(store) == [("changed", 3, before, after)]


def test_a_sum_makes_way_for_what_it_sums(store: Store) -> None:
    """Usage that only an agent told is booked for it, and reversed as an aggregate once its calls tell theirs."""
    put(store, [agent(1, input_tokens=1000, output_tokens=100, model="gpt-4o", provider="openai")])
    runner = Runner(store, BOOK, lambda: 0)
    runner.run_pass(SECOND)
    (amount,) = booked(store).values()
    put(store, [llm(2, 1, batch=2)])
    runner.run_pass(2 * SECOND)
    assert corrections(store) == [("aggregate", 1, amount, 0)]


def test_a_deleted_span_takes_its_booking_along(store: Store) -> None:
    """What retention deletes is not corrected: it was right."""
    put(store, [agent(1), llm(2, 1)])
    runner = Runner(store, BOOK, lambda: 0)
    runner.run_pass(SECOND)
    clear(store, "span_log")
    put(store, [agent(5, batch=2)])
    runner.run_pass(2 * SECOND)
    assert (corrections(store), booked(store)) == ([], {})


def test_a_cache_hit_costs_nothing_and_shows_what_it_avoided(store: Store) -> None:
    """A call that a cache answered is booked at 0 and avoided what its twin without a cache costs, also when it is
    priced again."""
    put(store, [agent(1), llm(2, 1), llm(3, 1, flags=int(Flag.CACHE_HIT))])
    Runner(store, BOOK, lambda: 0).run_pass(SECOND)
    query = "SELECT cost_pusd, booked_pusd, avoided_pusd, pricing FROM calls ORDER BY span_id"
    with store.cursor() as c:
        paid, hit = c.execute(query).fetchall()
        assert paid[0] > 0
        assert (paid[2], hit) == (0, (0, 0, paid[0], "priced"))
        assert c.execute("SELECT cost_pusd, avoided_pusd FROM runs").fetchall() == [(paid[0], paid[0])]
    assert reprice.preview(store, BOOK).changed_calls == 0


def test_a_call_can_move_to_the_run_of_another_trace(store: Store) -> None:
    """Where a run id joins traces later, the booking moves along: one entry, and the sum stays."""
    put(store, [agent(5, start=10, trace_lo=2, own_run_ref="t"), llm(6, 5, start=11, trace_lo=2)])
    runner = Runner(store, BOOK, lambda: 0)
    runner.run_pass(SECOND)
    (amount,) = booked(store).values()
    put(store, [agent(1, batch=2, own_run_ref="t")])
    runner.run_pass(2 * SECOND)
    assert corrections(store) == [("moved", 6, amount, 0)]
    assert list(booked(store).items()) == [((1, 1, 6, None), amount)]
