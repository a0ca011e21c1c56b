"""The seed of the price book: the list prices of genai-prices, read offline from its snapshot as data.

Importing this module costs 0.3 s (the package brings an HTTP client for updates, which are never started), so
`PriceBook.seeded` imports it, once, and nothing else does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from importlib import metadata
from typing import Any

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, StartDateConstraint, TieredPrices, TimeOfDateConstraint

from analytics.pricing.entries import MAX_USD, Tiers

UNITS = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_5m_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "cache_audio_read_mtok": "cache_read_audio",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "output_audio_mtok": "output_audio",
    "requests_kcount": "request",
}
"""Price keys of the list that a span has counts for, and our names of them. The others (images, seconds, pages,
searches) have no count in a span, so they price nothing."""

CONTEXT_KEYS = ("service_tier", "processing", "speed")
"""Conditions of a price variant that a service tier can meet; the word itself (batch, flex ...) tells which."""

Constraint = StartDateConstraint | TimeOfDateConstraint | None


@dataclass(frozen=True)
class Listed:
    """A model of the list; `own` if the provider sells it itself, so that its price variants hold."""

    model: ModelInfo
    own: bool


@dataclass(frozen=True)
class _Dated:
    """A price of a model, with what it is bound to."""

    provider: str
    model: str
    context: str | None
    constraint: Constraint
    price: ModelPrice


class Listing:
    """Finds models and prices as genai-prices does, without its caches, which grow with every name asked for."""

    def __init__(self) -> None:
        self.version = f"genai-prices {metadata.version('genai-prices')}"
        self._providers = get_snapshot().providers
        self._by_id = {provider.id: provider for provider in self._providers}
        self.provider_ids = tuple(self._by_id)

    def provider_by_words(self, name: str) -> str | None:
        """Id of the provider whose rule recognises this name, such as `langchain-openai`."""
        return next((p.id for p in self._providers if p.provider_match and p.provider_match.is_match(name)), None)

    def provider_by_model(self, model: str) -> str | None:
        """Id of the provider to which a model name alone points."""
        return next((p.id for p in self._providers if p.model_match and p.model_match.is_match(model.lower())), None)

    def find(self, provider_id: str, model: str) -> Listed | None:
        """The model in the provider's own table, or in that of a provider whose models it resells."""
        provider = self._by_id.get(provider_id)
        found = provider and provider.find_model(model, all_providers=self._providers)
        return Listed(found, any(found is m for m in provider.models)) if provider and found else None

    def tiers(self, listed: Listed, at: datetime, context: str | None) -> Tiers | None:
        """Prices of a model at a moment; None if the list knows no price of its tokens, which is not zero."""
        variant = dict.fromkeys(CONTEXT_KEYS, context) if context and listed.own else None
        return _tiers(listed.model.get_prices(at, variant))

    def boundaries(self) -> tuple[set[date], set[time]]:
        """Days and times of day (UTC) at which any price of the list changes."""
        constraints = [dated.constraint for dated in self._dated()]
        days = {c.start_date for c in constraints if isinstance(c, StartDateConstraint)}
        daily = [c for c in constraints if isinstance(c, TimeOfDateConstraint)]
        return days, {_utc(moment) for c in daily for moment in (c.start_time, c.end_time)}

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row a price, as `PriceBook.rows` describes them."""
        prices = list(self._dated())
        for dated, valid_to in zip(prices, _last_days(prices), strict=True):
            start, hours = _words(dated.constraint)
            row = {
                "kind": "model",
                "provider": dated.provider,
                "model": dated.model,
                "valid_from": start,
                "valid_to": valid_to,
                "source": self.version,
            }
            for above, usd in _tiers(dated.price) or ():
                length = f"above {above} input tokens" if above >= 0 else None
                context = ", ".join(filter(None, [dated.context, hours, length])) or None
                yield from ({**row, "context": context, "unit": unit, "usd": price} for unit, price in usd.items())

    def _dated(self) -> Iterator[_Dated]:
        """Every price, standard prices and each context in the order in which later ones beat earlier ones."""
        for provider in self._providers:
            for model in provider.models:
                standard = model.prices if isinstance(model.prices, list) else []
                if isinstance(model.prices, ModelPrice):
                    yield _Dated(provider.id, model.id, None, None, model.prices)
                for price in standard:
                    yield _Dated(provider.id, model.id, None, price.constraint, price.prices)
                for variant in reversed(model.price_variants or []):
                    if variant.when.keys() <= set(CONTEXT_KEYS):
                        context = min(variant.when.values())
                        yield _Dated(provider.id, model.id, context, variant.constraint, variant.prices)


def _last_days(prices: list[_Dated]) -> list[date | None]:
    """The day before the next price of the same model and context begins, for each price."""
    days: list[date | None] = []
    following: dict[tuple[str, str, str | None], date] = {}
    for dated in reversed(prices):
        series = (dated.provider, dated.model, dated.context)
        days.append(following[series] - timedelta(days=1) if series in following else None)
        if start := _words(dated.constraint)[0]:
            following[series] = start
    return days[::-1]


def _tiers(price: ModelPrice) -> Tiers | None:
    prices: dict[str, Decimal | TieredPrices] = {
        UNITS[key]: value for key, value in price.__dict__.items() if key in UNITS and value is not None
    }
    starts = {tier.start for value in prices.values() if isinstance(value, TieredPrices) for tier in value.tiers}
    tiers = tuple(
        (above, {unit: _at(value, above) / (1000 if unit == "request" else 1) for unit, value in prices.items()})
        for above in (-1, *sorted(starts))
    )
    absurd = any(usd > MAX_USD for _, prices in tiers for usd in prices.values())
    return tiers if prices and not absurd else None


def _at(price: Decimal | TieredPrices, above: int) -> Decimal:
    """The price of a call with more than `above` input tokens, and no more than the next tier begins at."""
    if isinstance(price, Decimal):
        return price
    return next((tier.price for tier in reversed(price.tiers) if tier.start <= above), price.base)


def _utc(moment: time) -> time:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime.combine(date(1970, 1, 2), aware).astimezone(UTC).time()


def _words(constraint: Constraint) -> tuple[date | None, str | None]:
    """First day of a constraint, or its hours in words."""
    if isinstance(constraint, TimeOfDateConstraint):
        return None, f"{_utc(constraint.start_time):%H:%M} to {_utc(constraint.end_time):%H:%M} UTC"
    return (constraint.start_date if constraint else None), None
