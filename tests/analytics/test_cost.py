"""Sums of money and how complete they are."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from analytics.cost import MAX_PUSD, book_calls, run_costs, total

MONEY = {"cost_pusd": pl.Int64, "booked_pusd": pl.Int64, "reported_pusd": pl.Int64, "wasted_pusd": pl.Int64}
SCHEMA = MONEY | {"avoided_pusd": pl.Int64, "run": pl.UInt32, "kind": pl.String, "pricing": pl.String} | {
    f"{name}_tokens": pl.Int64 for name in ("input", "output", "cache_read", "cache_write", "reasoning")
}  # fmt: skip


def call(pricing: str, cost: int | None = None, kind: str = "llm.call", **values: object) -> dict[str, object]:
    """A priced call of run 0."""
    money = {"cost_pusd": cost, "booked_pusd": cost, "wasted_pusd": 0, "avoided_pusd": 0}
    return {"run": 0, "kind": kind, "pricing": pricing} | money | values


def costs(*calls: dict[str, object]) -> dict[str, object]:
    """What run 0 cost."""
    return run_costs(pl.DataFrame(list(calls), schema=SCHEMA)).row(0, named=True)


def test_a_cost_is_null_where_nothing_is_priced() -> None:
    """Calls without a price make the cost unknown, not zero; one priced call makes it a sum beside its coverage."""
    assert costs(call("unpriced"), call("unknown"))["cost_pusd"] is None
    assert costs(call("unpriced"), call("priced", 5))["cost_pusd"] == 5
    assert costs(call("none", kind="tool.call"))["cost_pusd"] == 0
    assert costs(call("priced", 3, kind="tool.call"), call("unknown"))["cost_pusd"] == 3


def test_a_tool_that_costs_is_not_part_of_the_coverage() -> None:
    """Coverage counts model calls alone."""
    cost = costs(call("priced", 3, kind="tool.call"), call("priced", 5, input_tokens=7, output_tokens=2))
    assert (cost["cost_pusd"], cost["priced_calls"], cost["priced_tokens"]) == (8, 1, 9)


@given(st.lists(st.sampled_from(["priced", "unpriced", "unknown"]), min_size=1, max_size=30))
def test_coverage_adds_up(pricing: list[str]) -> None:
    """Priced, unpriced and unknown calls add up to the model calls, and the cost to its parts."""
    cost = costs(*(call(p, 10**12 + i if p == "priced" else None) for i, p in enumerate(pricing)))
    assert cost["priced_calls"] + cost["unpriced_calls"] + cost["unknown_calls"] == len(pricing)  # type: ignore[operator]
    parts = [10**12 + i for i, p in enumerate(pricing) if p == "priced"]
    assert cost["cost_pusd"] == (sum(parts) if parts else None)


@given(st.lists(st.integers(0, MAX_PUSD), min_size=1, max_size=5))
def test_sums_never_wrap(values: list[int]) -> None:
    """A sum beyond 64 bits stays at the largest value."""
    assert pl.DataFrame({"x": values}).select(total("x")).item() == min(sum(values), MAX_PUSD)


def test_reported_cost_stays_beside() -> None:
    """What runtimes report is summed apart, and null where none does."""
    assert costs(call("priced", 5, reported_pusd=9))["reported_pusd"] == 9
    assert costs(call("priced", 5))["reported_pusd"] is None


def test_the_first_booking_wins_over_a_later_book() -> None:
    """A new book restates the cost; what was booked stays, and what had no price is booked now."""
    calls = pl.DataFrame(
        {"trace_hi": [1] * 3, "trace_lo": [1] * 3, "span_id": [1, 2, 3], "call_hash": [None, None, 9]},
        schema=dict.fromkeys(("trace_hi", "trace_lo", "span_id", "call_hash"), pl.UInt64),
    )
    booked = calls.filter(pl.col("span_id") != 2).with_columns(booked_pusd=pl.lit(5), booked_version=pl.lit("v1"))
    calls = calls.with_columns(cost_pusd=pl.lit(8), price_version=pl.lit("v2"))
    assert book_calls(calls, booked)["booked_pusd"].to_list() == [5, 8, 5]
    assert book_calls(calls, booked)["booked_version"].to_list() == ["v1", "v2", "v1"]
    same = calls.with_columns(price_version=pl.lit("v1"))
    assert book_calls(same, booked)["booked_pusd"].to_list() == [8, 8, 8]
