"""What runs cost: the price of each call, and sums of calls with how complete they are. Pure."""

import polars as pl

from analytics.pricing.book import PriceBook
from analytics.pricing.charge import price_calls, price_tools

MAX_PUSD = 2**63 - 1
BOOKING = ["trace_hi", "trace_lo", "span_id", "call_hash"]  # the key of a call and of what was booked for it
SUMMED_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


def price(calls: pl.DataFrame, book: PriceBook) -> pl.DataFrame:
    """Calls of both kinds with `pricing`, `cost_pusd`, `avoided_pusd` and `price_version`."""
    columns = [*calls.columns, "pricing", "cost_pusd", "avoided_pusd", "price_version"]
    model = price_calls(calls.filter(pl.col("kind") == "llm.call"), book)
    tool = price_tools(calls.filter(pl.col("kind") == "tool.call"), book)
    tool = tool.with_columns(avoided_pusd=pl.lit(None, pl.Int64))
    priced = pl.concat([model.select(columns), tool.select(columns)])
    return priced.with_columns(pl.col("avoided_pusd").fill_null(0)).sort("run", "start_ns", "row", "call_hash")


def book_calls(calls: pl.DataFrame, bookings: pl.DataFrame) -> pl.DataFrame:
    """Adds `booked_pusd` and `booked_version`: what a call cost by the first book that had a price for it.

    `bookings` (trace_hi, trace_lo, span_id, call_hash, booked_pusd, booked_version) are those of earlier passes. One
    that was made with the book of today is made anew: what the call is known to be may have become clearer.
    """
    booked = bookings.select(*BOOKING, "booked_pusd", "booked_version")
    calls = calls.join(booked, on=BOOKING, how="left", maintain_order="left", nulls_equal=True)
    first = pl.col("booked_pusd").is_not_null() & (pl.col("booked_version") != pl.col("price_version"))
    return calls.with_columns(
        booked_pusd=pl.when(first).then("booked_pusd").otherwise("cost_pusd"),
        booked_version=pl.when(first)
        .then("booked_version")
        .when(pl.col("cost_pusd").is_not_null())
        .then("price_version"),
    )


def corrections(bookings: pl.DataFrame, calls: pl.DataFrame, stored: pl.Series) -> pl.DataFrame:
    """The bookings of earlier passes that no longer stand: rows of `booking_corrections` without `at_ns`.

    `bookings` as in `book_calls`, with the columns `call_group`, `start_ns`, `aggregate` of their calls; `calls`:
    booked ones of the same traces; `stored`: ids of the spans that they were made of. A call whose span was deleted
    takes its booking along and needs no row.
    """
    now = calls.select(*BOOKING, rebooked_pusd="booked_pusd", is_call=pl.lit(True))
    found = bookings.join(now, on=BOOKING, how="left", nulls_equal=True)
    found = found.filter(
        pl.col("span_id").is_in(stored.implode()), pl.col("booked_pusd").ne_missing(pl.col("rebooked_pusd"))
    )
    moved = calls.select("span_id", "call_hash", is_elsewhere=pl.lit(True)).unique()
    found = found.join(moved, on=["span_id", "call_hash"], how="left", nulls_equal=True)
    return found.select(
        pl.when("is_call")
        .then(pl.lit("changed"))
        .when("is_elsewhere")
        .then(pl.lit("moved"))
        .when("aggregate")
        .then(pl.lit("aggregate"))
        .otherwise(pl.lit("duplicate"))
        .alias("reason"),
        *BOOKING,
        "call_group",
        "start_ns",
        pl.col("booked_pusd").alias("reversed_pusd"),
        "booked_version",
        pl.col("rebooked_pusd").fill_null(0),
    )


def total(column: str) -> pl.Expr:
    """The sum of a column of integers, null where all are null; it stays at the largest value rather than wrap."""
    wide = pl.col(column).cast(pl.Int128).sum().clip(upper_bound=MAX_PUSD).cast(pl.Int64)
    return pl.when(pl.col(column).is_not_null().any()).then(wide).alias(column)


def run_costs(calls: pl.DataFrame) -> pl.DataFrame:
    """One row a run: tokens, money and coverage.

    `cost_pusd` and `booked_pusd` are null where there are model calls and nothing is priced. `priced_calls`,
    `unpriced_calls` and `unknown_calls` add up to the model calls, failed ones included; a tool's own price is in
    the sum of money but not in this coverage.
    """
    is_model = pl.col("kind") == "llm.call"
    priced = is_model & (pl.col("pricing") == "priced")
    tokens = pl.col("input_tokens").fill_null(0) + pl.col("output_tokens").fill_null(0)
    nothing_called = pl.when(~is_model.any()).then(pl.lit(0, pl.Int64))
    return calls.group_by("run").agg(
        *(total(c).fill_null(0) for c in (*SUMMED_TOKENS, "wasted_pusd", "avoided_pusd")),
        *(pl.coalesce(total(c), nothing_called).alias(c) for c in ("cost_pusd", "booked_pusd")),
        total("reported_pusd"),
        priced_calls=priced.sum(),
        unpriced_calls=(pl.col("pricing") == "unpriced").sum(),
        unknown_calls=(pl.col("pricing") == "unknown").sum(),
        priced_tokens=tokens.filter(priced).sum(),
    )
