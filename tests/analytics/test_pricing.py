"""Costs against genai-prices' own arithmetic, and the laws that every sum of money obeys."""

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
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
from analytics.pricing.charge import MAX_COUNT, TOKENS, _amount, _scaled, price_calls, price_tools
from analytics.pricing.entries import MAX_USD, PARTS, ModelEntry, ToolEntry
from analytics.pricing.listing import CONTEXT_KEYS, UNITS

BOOK = PriceBook.seeded()
SNAPSHOT = get_snapshot()
TIERS = (None, "batch", "flex", "priority", "fast", "default", "no such tier")
INPUT_PARTS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio", "cache_read_audio")
OUTPUT_PARTS = ("output", "reasoning", "output_audio")
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
    context = dict.fromkeys(CONTEXT_KEYS, row["service_tier"]) if row["service_tier"] else None
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
    for parts, usd in ((INPUT_PARTS, theirs.input_price), (OUTPUT_PARTS, theirs.output_price), (PARTS, theirs.total_price)):
        amounts = [row[f"{part}_pusd"] for part in parts]
        assert off_by(sum(amounts), usd) <= half * sum(amount > 0 for amount in amounts), (parts, usd, row)
    assert row["cost_pusd"] == sum(row[f"{part}_pusd"] for part in PARTS)
    assert not row["usage_conflict"]


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
