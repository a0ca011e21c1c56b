"""The price book: finds the price of one distinct kind of call. `charge` prices whole frames with it."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.pricing.entries import Entry, ModelEntry, Tiers, ToolEntry, holds, load_frozen, matches
from analytics.pricing.providers import MEANT, canonical, plain, provider_by_form, split_model, unspecific

if TYPE_CHECKING:
    from analytics.pricing.listing import Listing

_LAST_DAY = date(2262, 1, 1)  # nanoseconds in 64 bits end in that year
_ROWS = {
    "kind": pl.String,
    "provider": pl.String,
    "model": pl.String,
    "unit": pl.String,
    "usd": pl.String,
    "per": pl.Int64,
    "valid_from": pl.Date,
    "valid_to": pl.Date,
    "context": pl.String,
    "tenant": pl.String,
    "source": pl.String,
}


@dataclass(frozen=True)
class Question:
    """All that decides the price of a model call, except its number of input tokens."""

    at: datetime
    provider: str | None
    model: str | None
    request_model: str | None
    tenant: str | None
    service_tier: str | None

    @property
    def context(self) -> str | None:
        """The service tier as price contexts are written."""
        return (self.service_tier or "").strip().lower() or None


@dataclass(frozen=True)
class _Reading:
    """One way to read the names of a call: whose entries may match (None: anyone's), whose list, which model."""

    providers: frozenset[str] | None
    listed: str | None
    model: str


class PriceBook:
    """List prices, and the user's entries above them; of several entries that match a call the last one holds.

    `version` names source and version, with a digest of the entries: equal versions give equal costs. Prices
    change only at the starts of `days` and at `times` of the day, ascending; `tenants` are those with own prices.
    """

    def __init__(self, version: str, entries: Iterable[Entry], listing: "Listing | None") -> None:
        self._listing = listing
        self._ids = {plain(id_): id_ for id_ in (listing.provider_ids if listing else MEANT)}
        entries = [self._named(entry) for entry in entries]
        self._models = [entry for entry in entries if isinstance(entry, ModelEntry)]
        self._tools = [entry for entry in entries if isinstance(entry, ToolEntry)]
        self.version = f"{version}+{_digest(entries)}" if entries else version
        self.tenants = frozenset(entry.tenant for entry in entries if entry.tenant)
        days, times = listing.boundaries() if listing else (set(), set())
        self.days = sorted(days.union(*map(_days, entries)))
        self.times = sorted(times)
        self.tiers = lru_cache(65_536)(self._tiers)

    @classmethod
    def seeded(cls, overrides: Iterable[Entry] = ()) -> "PriceBook":
        """The list prices of the installed genai-prices, under the user's entries."""
        from analytics.pricing.listing import Listing  # noqa: PLC0415 - 0.3 s, paid only where calls are priced

        listing = Listing()
        return cls(listing.version, overrides, listing)

    @classmethod
    def frozen(cls, path: Path) -> "PriceBook":
        """Only the entries of a file, whatever genai-prices is installed. Raises PriceFileError."""
        version, entries = load_frozen(path)
        return cls(version, entries, None)

    def moment(self, day: int, time_of_day: int) -> datetime:
        """The first moment of the interval after `day` of the days and `time_of_day` of the times."""
        first = self.days[day - 1] if day else (self.days[0] if self.days else date(2000, 1, 1)) - timedelta(days=1)
        return datetime.combine(first, self.times[time_of_day - 1] if time_of_day else time(), UTC)

    def _tiers(self, question: Question) -> Tiers | None:
        """The price of a call, or None. The model that answered is looked up first, then the one asked for."""
        for model in (question.model, question.request_model):
            for reading in self._readings(question.provider, model) if model else ():
                if tiers := self._price(reading, question):
                    return tiers
        return None

    def tool_usd(self, at: datetime, server: str | None, tool: str | None, tenant: str | None) -> Mapping[str, Decimal]:
        """Prices of a tool call by unit (see ToolEntry); empty if it has none."""
        for entry in reversed(self._tools):
            if holds(entry, tenant, at.date()) and matches(entry.server, server) and matches(entry.tool, tool):
                return entry.usd
        return {}

    @cached_property
    def rows(self) -> pl.DataFrame:
        """Every price, the later beating the earlier: `kind` (model, tool), `provider` (of a tool: its server) and
        `model` (of a tool: its name; an id of the list, a glob of an entry), `unit`, `usd` (exact decimal text) for
        `per` units, `valid_from` and `valid_to` (both days included), `context`, `tenant`, `source`. Null: any.
        """
        rows = list(self._listing.rows()) if self._listing else []
        entries: list[Entry] = [*self._models, *self._tools]
        rows += [row for entry in entries for row in _rows(entry)]
        for row in rows:
            row["usd"] = f"{row['usd']:f}"
            row["per"] = 1 if row["unit"] in ("request", "call") else 1_000_000
        return pl.DataFrame(rows, schema=_ROWS)

    def _named(self, entry: Entry) -> Entry:
        if isinstance(entry, ModelEntry) and entry.provider:
            return replace(entry, provider=canonical(entry.provider, self._ids)[0])
        return entry

    def _readings(self, provider: str | None, model: str) -> Iterator[_Reading]:
        name, kind = canonical(provider, self._ids) if provider else ("", "unknown")
        prefix, rest = split_model(model)
        stated, stated_kind = canonical(prefix, self._ids) if prefix else ("", "unknown")
        if kind == "unknown" and stated_kind == "elsewhere":
            name, kind = stated, stated_kind
        if kind == "unknown":
            guess = self._guess(provider, model)
            yield _Reading(frozenset((name, guess)) if self._listing else None, guess or None, model)
        else:
            yield _Reading(frozenset((name,)), name if kind == "listed" else None, model)
        if stated_kind != "unknown" and (kind == "unknown" or stated == name):
            yield _Reading(frozenset((name, stated)), stated if kind != "elsewhere" else None, rest)
        if kind == "unknown" and (maker := provider_by_form(model)):
            yield _Reading(frozenset((name, maker)), maker, model)

    def _guess(self, provider: str | None, model: str) -> str:
        """The provider of the list that an unknown provider's name, else the model's, points to."""
        if not self._listing:
            return ""
        by_words = provider and not unspecific(provider) and self._listing.provider_by_words(plain(provider))
        return by_words or self._listing.provider_by_model(model) or ""

    def _price(self, reading: _Reading, question: Question) -> Tiers | None:
        entries = [entry for entry in self._models if _applies(entry, reading, question)]
        found = self._listing.find(reading.listed, reading.model) if self._listing and reading.listed else None
        listed = self._listing.tiers(found, question.at, question.context) if self._listing and found else None
        if not entries:
            return listed
        base = listed or ((-1, {}),)
        starts = sorted({-1, *(entry.above_input_tokens for entry in entries), *(above for above, _ in base)})
        return tuple((above, _stated(entries, above) or _listed(base, above)) for above in starts)


def _applies(entry: ModelEntry, reading: _Reading, question: Question) -> bool:
    return (
        matches(entry.model, reading.model)
        and (entry.provider is None or reading.providers is None or entry.provider in reading.providers)
        and (entry.context is None or entry.context.lower() == question.context)
        and holds(entry, question.tenant, question.at.date())
    )


def _stated(entries: list[ModelEntry], above: int) -> Mapping[str, Decimal] | None:
    return next((entry.usd for entry in reversed(entries) if entry.above_input_tokens <= above), None)


def _listed(tiers: Tiers, above: int) -> Mapping[str, Decimal]:
    return next(usd for start, usd in reversed(tiers) if start <= above)


def _days(entry: Entry) -> set[date]:
    """Days with whose start the entry begins and ceases to hold; none where a 64-bit time cannot come to."""
    after = entry.valid_to + timedelta(days=1) if entry.valid_to and entry.valid_to < _LAST_DAY else None
    return {day for day in (entry.valid_from, after) if day and day < _LAST_DAY}


def _rows(entry: Entry) -> Iterator[dict[str, Any]]:
    if isinstance(entry, ModelEntry):
        length = f"above {entry.above_input_tokens} input tokens" if entry.above_input_tokens >= 0 else None
        context = ", ".join(filter(None, [entry.context, length])) or None
        names = {"kind": "model", "provider": entry.provider, "model": entry.model, "context": context}
    else:
        names = {"kind": "tool", "provider": entry.server, "model": entry.tool, "context": None}
    validity = {"valid_from": entry.valid_from, "valid_to": entry.valid_to}
    for unit, usd in entry.usd.items():
        yield {**names, **validity, "tenant": entry.tenant, "source": entry.source, "unit": unit, "usd": usd}


def _digest(entries: Iterable[Entry]) -> str:
    """Eight hex digits of what the entries say; the name of their file is no part of it."""
    said = [{k: v for k, v in asdict(entry).items() if v is not None and k != "source"} for entry in entries]
    text = json.dumps(said, default=str, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
