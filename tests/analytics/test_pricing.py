"""Costs against genai-prices' own arithmetic, and the laws that every sum of money obeys."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseStartsWith,
    PriceCalculation,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.pricing.book import PriceBook
from analytics.pricing.charge import MAX_COUNT, _amount, _scaled, price_calls
from analytics.pricing.entries import MAX_USD, PARTS, ModelEntry
from analytics.pricing.listing import CONTEXT_KEYS, UNITS
from collector.semconv import TOKENS

BOOK = PriceBook.seeded()
SNAPSHOT = get_snapshot()
TIERS = (None, "batch", "flex", "priority", "fast", "default", "no such tier")
INPUT_PARTS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio", "cache_read_audio")
OUTPUT_PARTS = ("output", "reasoning", "output_audio")
PRECISE = Context(prec=60)
NOW_NS = 1_790_000_000 * 10**9

Row = dict[str, Any]


def frame(*rows: Row) -> pl.DataFrame:
    """Calls of gpt-4o at a fixed time unless a row says otherwise."""
    texts = ("provider", "model", "request_model", "tenant", "service_tier")
    schema = {**dict.fromkeys(texts, pl.String), "start_ns": pl.Int64, **dict.fromkeys(TOKENS, pl.Int64)}
    usual = {**dict.fromkeys(schema), "provider": "openai", "model": "gpt-4o", "start_ns": NOW_NS}
    extra = {"cache_hit": pl.Boolean} if any("cache_hit" in row for row in rows) else {}
    return pl.DataFrame([{**usual, **row} for row in rows], schema={**schema, **extra})


def price(**row: Any) -> Row:
    """One priced call."""
    return price_calls(frame(row), BOOK).row(0, named=True)


def example(match: Any) -> str | None:
    """A model name that the clause recognises."""
    match match:
        case ClauseEquals(equals=text) | ClauseStartsWith(starts_with=text):
            return str(text)
        case ClauseContains(contains=text) | ClauseEndsWith(ends_with=text):
            return str(text)
        case ClauseOr(or_=clauses):
            return next((name for clause in clauses if (name := example(clause))), None)
        case ClauseAnd(and_=clauses):
            names = [example(clause) or "" for clause in clauses]
            joined = ("".join(names), "".join(reversed(names)), *names)
            return next((name for name in joined if match.is_match(name)), None)
    return None


def listed() -> list[tuple[str, str, bool]]:
    """(provider, a name of the model, whether the name leads to that model) for every model of the list."""
    found = []
    for provider in SNAPSHOT.providers:
        for model in provider.models:
            names = (model.id, example(model.match) or model.id)
            own = [name for name in names if provider.find_model(name, all_providers=SNAPSHOT.providers) is model]
            found.append((provider.id, (own or names)[0], bool(own)))
    return found


LISTED = listed()


def moments() -> list[datetime]:
    """Just before, at and after every day and time of day at which a price changes."""
    days = [datetime(d.year, d.month, d.day, tzinfo=UTC) for d in (*BOOK.days, date(2024, 5, 1), date(2027, 6, 1))]
    midday = datetime(2026, 3, 3, tzinfo=UTC)
    times = [midday + timedelta(hours=t.hour, minutes=t.minute) for t in BOOK.times]
    return [m + timedelta(microseconds=us) for m in (*days, *times) for us in (-1, 0, 1)]


MOMENTS = moments()


def usages(rng: np.random.Generator) -> dict[str, int]:
    """A valid usage: parts within totals, sizes from nothing to past every context-length tier."""
    total = int(rng.choice([0, 1, 999, 31_999, 128_001, 199_999, 200_000, 200_001, 272_001, 600_000, 10**9]))
    total = int(rng.integers(0, total + 1)) if rng.random() < 0.5 else total
    read = int(rng.integers(0, total + 1))
    write = int(rng.integers(0, total - read + 1))
    audio = int(rng.integers(0, total - write + 1)) if rng.random() < 0.3 else 0
    output = int(rng.integers(0, 10 ** int(rng.integers(0, 10)) + 1))
    reasoning = int(rng.integers(0, output + 1))
    spoken = int(rng.integers(0, output - reasoning + 1)) if rng.random() < 0.3 else 0
    write_1h = int(rng.integers(0, write + 1))
    return dict(zip(TOKENS, (total, output, read, write, write_1h, reasoning, audio, spoken), strict=True))


def reference(row: Row) -> PriceCalculation | None:
    """What genai-prices itself makes of the call; None if it knows no such model."""
    overlap = row["cache_read_tokens"] + row["cache_write_tokens"] + row["input_audio_tokens"] - row["input_tokens"]
    usage = Usage(
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        cache_read_tokens=row["cache_read_tokens"],
        cache_write_tokens=row["cache_write_tokens"],
        cache_write_1h_tokens=row["cache_write_1h_tokens"],
        output_reasoning_tokens=row["reasoning_tokens"],
        input_audio_tokens=row["input_audio_tokens"],
        cache_audio_read_tokens=max(overlap, 0),
        output_audio_tokens=row["output_audio_tokens"],
    )
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row["start_ns"] // 1000)
    context = {key: str(row["service_tier"]) for key in CONTEXT_KEYS if row["service_tier"]}
    try:
        return SNAPSHOT.calc(usage, row["model"], row["provider"], None, at, context)
    except LookupError:
        return None


def off_by(ours_pusd: int, theirs_usd: Decimal) -> Decimal:
    """How far apart, in 10^-12 USD."""
    return abs(Decimal(ours_pusd) - theirs_usd.scaleb(12))


def agrees(row: Row) -> None:
    """Asserts that a priced row equals the reference within half a unit of the last place for each part."""
    theirs = reference(row)
    tokens_priced = theirs and any(UNITS.get(k) and v is not None for k, v in theirs.model_price.__dict__.items())
    assert (row["pricing"] == "priced") == bool(tokens_priced), row
    if not theirs or not tokens_priced:
        assert row["cost_pusd"] is None and (not theirs or theirs.total_price == 0)
        return
    half = Decimal("0.5")
    sums = ((INPUT_PARTS, theirs.input_price), (OUTPUT_PARTS, theirs.output_price), (PARTS, theirs.total_price))
    for parts, usd in sums:
        amounts = [row[f"{part}_pusd"] for part in parts]
        assert off_by(sum(amounts), usd) <= half * sum(amount > 0 for amount in amounts), (parts, usd, row)
    assert row["cost_pusd"] == sum(row[f"{part}_pusd"] for part in PARTS)
    assert not row["usage_conflict"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_every_listed_model_costs_what_genai_prices_says(seed: int) -> None:
    """Every model of the list, in random usages, times and service tiers, equals calc_price part by part."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "provider": provider,
            "model": model,
            "service_tier": TIERS[rng.integers(0, len(TIERS))],
            "start_ns": int(MOMENTS[rng.integers(0, len(MOMENTS))].timestamp()) * 10**9 + int(rng.integers(0, 10**9)),
            **usages(rng),
        }
        for provider, model, _ in LISTED
        for _ in range(3)
    ]
    for row in price_calls(frame(*rows), BOOK).iter_rows(named=True):
        agrees(row)


def test_the_names_under_test_lead_to_their_models() -> None:
    """The test above reaches nearly every model of the list itself, not a neighbour that shadows it."""
    assert len(LISTED) > 2_000
    assert sum(own for *_, own in LISTED) / len(LISTED) > 0.97


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(LISTED),
    st.sampled_from(TIERS),
    st.sampled_from(MOMENTS),
    st.integers(0, 2**32),
)
def test_any_call_costs_what_genai_prices_says(
    name: tuple[str, str, bool], tier: str | None, at: datetime, seed: int
) -> None:
    """Around every boundary of time, one call alone is priced as calc_price prices it."""
    start_ns = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    usage = usages(np.random.default_rng(seed))
    agrees(price(provider=name[0], model=name[1], service_tier=tier, start_ns=start_ns, **usage))


@settings(deadline=None)
@given(
    st.integers(0, MAX_COUNT),
    st.decimals(0, MAX_USD, allow_nan=False, places=18) | st.decimals(0, MAX_USD, allow_nan=False, places=3),
)
def test_a_part_is_rounded_half_to_even(count: int, usd: Decimal) -> None:
    """count x price, to the last of 18 decimals and up to the largest of both, is the exact product rounded once."""
    exact = Decimal(int(usd.scaleb(18)) * count).scaleb(-12, PRECISE)
    got = _amount(np.array([count]), _scaled([usd]), np.array([0]))[0]
    assert got == int(exact.to_integral_value(ROUND_HALF_EVEN, PRECISE))


@pytest.mark.parametrize(("count", "pusd"), [(1, 0), (3, 2), (5, 2), (7, 4), (2, 1), (0, 0)])
def test_halves_go_to_the_even_neighbour(count: int, pusd: int) -> None:
    """At 0.5 x 10^-12 USD a token, odd counts are exact halves: 0.5 is 0, 1.5 is 2, 2.5 is 2, 3.5 is 4."""
    assert _amount(np.array([count]), _scaled([Decimal("0.0000005")]), np.array([0]))[0] == pusd


def test_the_dearest_possible_call_fits() -> None:
    """The largest usage at the highest price of every kind is its exact sum: 64 bits do not wrap."""
    usd = {"input": MAX_USD, "output": MAX_USD, "request": MAX_USD}
    book = PriceBook("test", [ModelEntry(model="*", usd=usd)], None)
    row = price_calls(frame({"input_tokens": MAX_COUNT, "output_tokens": MAX_COUNT}), book).row(0, named=True)
    assert row["cost_pusd"] == (2 * MAX_COUNT * int(MAX_USD) // 10**6 + int(MAX_USD)) * 10**12
    assert row["cost_pusd"] < 2**63


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_parts_and_groups_add_up_to_the_last_digit(seed: int) -> None:
    """Whatever a report groups by, the groups' sums, and the sums of their parts, are the total."""
    rng = np.random.default_rng(seed)
    names = [LISTED[i] for i in rng.integers(0, len(LISTED), 60)]
    rows = [{"provider": p, "model": m, "tenant": str(rng.integers(0, 4)), **usages(rng)} for p, m, _ in names]
    priced = price_calls(frame(*rows), BOOK).with_columns(pl.col("^.*_pusd$").cast(pl.Decimal(38, 0)))
    total = sum(row for row in priced["cost_pusd"] if row is not None)
    for by in (["provider"], ["tenant"], ["tenant", "model"], ["pricing"]):
        groups = priced.group_by(by).agg(pl.col("^.*_pusd$").sum())
        assert groups["cost_pusd"].sum() == total
        assert groups.select(pl.sum_horizontal(f"{part}_pusd" for part in PARTS)).to_series().sum() == total


def test_no_usage_is_unknown_and_no_price_is_unpriced() -> None:
    """Neither a call without usage nor a model without price ever costs $0; a price of zero does."""
    free = ModelEntry(model="free", usd={"input": Decimal(0), "output": Decimal(0)})
    rows: tuple[Row, ...] = (
        {},
        {"output_tokens": 5},
        {"model": "nobody-knows-it", "input_tokens": 5},
        {"model": "free", "input_tokens": 5},
    )
    priced = price_calls(frame(*rows), PriceBook.seeded([free]))
    assert priced["pricing"].to_list() == ["unknown", "priced", "unpriced", "priced"]
    assert priced["cost_pusd"].to_list() == [None, 50_000_000, None, 0]
    assert priced["input_pusd"].to_list() == [None, 0, None, 0]
    assert priced["avoided_pusd"].to_list() == [None, 0, None, 0]


def test_a_listed_model_without_token_prices_is_unpriced() -> None:
    """genai-prices answers 0 for models whose price it does not know, or knows only by the hour: that is no price."""
    assert price(provider="groq", model="whisper-large-v3", input_tokens=10, output_tokens=10)["pricing"] == "unpriced"


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"input_tokens": 100, "cache_read_tokens": 500}, {"cache_read": 100}),
        (
            {"input_tokens": 100, "cache_read_tokens": 80, "cache_write_tokens": 80},
            {"cache_read": 80, "cache_write_5m": 20},
        ),
        (
            {"cache_read_tokens": 30, "cache_write_tokens": 10, "output_tokens": 0},
            {"cache_read": 30, "cache_write_5m": 10},
        ),
        ({"input_tokens": 100, "cache_write_1h_tokens": 40}, {"input": 60, "cache_write_1h": 40}),
        ({"output_tokens": 10, "reasoning_tokens": 15}, {"reasoning": 10}),
        ({"input_tokens": -5, "output_tokens": 10}, {"output": 10}),
    ],
)
def test_counts_that_contradict_each_other_are_cut_and_told(usage: Row, tokens: dict[str, int]) -> None:
    """Nothing raises, no token is charged twice or beyond its total, and the call is marked."""
    usd = {
        "input": 1,
        "cache_read": 2,
        "cache_write_5m": 3,
        "cache_write": 3,
        "cache_write_1h": 4,
        "output": 5,
        "reasoning": 6,
    }
    book = PriceBook("test", [ModelEntry(model="*", usd={kind: Decimal(n) for kind, n in usd.items()})], None)
    row = price_calls(frame(usage), book).row(0, named=True)
    charged = {part: row[f"{part}_pusd"] // (usd[part] * 10**6) for part in PARTS if row[f"{part}_pusd"]}
    assert (charged, row["usage_conflict"], row["pricing"]) == (tokens, True, "priced")


@pytest.mark.parametrize("field", TOKENS)
@pytest.mark.parametrize("count", [MAX_COUNT + 1, 2**63 - 1, -(2**63)])
def test_absurd_counts_have_no_cost(field: str, count: int) -> None:
    """More than 10^9 tokens of any kind make the usage unknown; the largest 64-bit numbers do not wrap into money."""
    row = price(**{"input_tokens": 10, "output_tokens": 10, field: count})
    assert row["usage_conflict"]
    assert row["pricing"] == ("unknown" if count > 0 else "priced")
    assert row["cost_pusd"] is None or 0 <= row["cost_pusd"] < 10**12


def test_the_model_that_answered_is_priced_and_else_the_one_asked_for() -> None:
    """A response model that the book does not know falls back to the request model."""
    asked = price(model="deployment-7", request_model="gpt-4o", input_tokens=1_000)["cost_pusd"]
    both = price(model="gpt-4o", request_model="gpt-4o-mini", input_tokens=1_000)["cost_pusd"]
    only = price(model=None, request_model="gpt-4o", input_tokens=1_000)["cost_pusd"]
    assert asked == both == only == 2_500_000_000


def test_long_context_prices_the_whole_call() -> None:
    """One token above the threshold moves every token of the call to the higher rate."""
    below = price(provider="google", model="gemini-2.5-pro", input_tokens=200_000, output_tokens=1)
    above = price(provider="google", model="gemini-2.5-pro", input_tokens=200_001, output_tokens=1)
    assert above["input_pusd"] == 2 * below["input_pusd"] + 2_500_000
    assert above["output_pusd"] > below["output_pusd"]


def test_caches_show_what_they_avoided() -> None:
    """Cached input avoids its discount; a call that a cache answered costs nothing and avoids all."""
    usage = {"input_tokens": 1_000, "cache_read_tokens": 400, "output_tokens": 100}
    asked, hit = price_calls(frame({**usage, "cache_hit": False}, {**usage, "cache_hit": True}), BOOK).rows(named=True)
    uncached = price(input_tokens=1_000, output_tokens=100)
    assert asked["avoided_pusd"] == uncached["cost_pusd"] - asked["cost_pusd"] > 0
    assert (hit["pricing"], hit["cost_pusd"], hit["avoided_pusd"]) == ("priced", 0, uncached["cost_pusd"])
    assert sum(hit[f"{part}_pusd"] for part in PARTS) == 0


def test_an_empty_frame_gets_the_same_columns() -> None:
    """No calls, no cost, no error."""
    assert price_calls(frame(), BOOK).schema == price_calls(frame({"input_tokens": 1}), BOOK).schema


def test_the_order_of_calls_is_kept() -> None:
    """Pricing groups calls by what decides their price, yet every row keeps its place."""
    rows = [{"model": model, "input_tokens": n} for n, model in enumerate(["gpt-4o", "gpt-4o-mini", "no", "gpt-4o"])]
    assert price_calls(frame(*rows), BOOK)["input_tokens"].to_list() == [0, 1, 2, 3]
    assert price_calls(frame(*rows), BOOK)["cost_pusd"].to_list() == [0, 150_000, None, 7_500_000]


def test_the_list_is_loaded_only_when_a_book_is_seeded() -> None:
    """Importing the pricing package, or using a frozen book, does not import genai-prices (0.3 s)."""
    code = "import sys, analytics.pricing; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_seeding_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is the one that is installed: nothing is fetched, no updater runs."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    assert price_calls(frame({"input_tokens": 1}), PriceBook.seeded())["pricing"].to_list() == ["priced"]


def test_every_price_of_the_list_can_be_multiplied_exactly() -> None:
    """No listed price exceeds the bound of 64-bit money or has more than 18 decimals."""
    usd = [Decimal(text) for text in BOOK.rows["usd"]]
    assert max(usd) <= MAX_USD
    assert all(price.scaleb(18) == int(price.scaleb(18)) for price in usd)
