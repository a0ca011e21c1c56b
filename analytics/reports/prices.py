"""The price book as a list, and the models it has no price for."""

from typing import Any

import polars as pl
from typing_extensions import TypedDict

from analytics.pricing.book import PriceBook
from analytics.reports import listings
from analytics.reports.listings import Lag
from analytics.reports.periods import EVER_NS
from analytics.reports.values import moment
from collector.store import Store


class Prices(TypedDict):
    """Prices of the book, later ones beating earlier ones; an item is a row of `PriceBook.rows`, days as text."""

    version: str
    items: list[dict[str, Any]]
    next_cursor: str | None
    as_of: str


class Unpriced(TypedDict):
    """Models without a cost, most called first: `pricing` (unpriced: no price; unknown: no usage told), `provider`,
    `model`, `calls`, `input_tokens`, `output_tokens`, `first_at`, `last_at`."""

    items: list[dict[str, Any]]
    next_cursor: None
    as_of: str
    lag: Lag


def list_prices(
    book: PriceBook,
    now_ns: int,
    *,
    provider: str | None = None,
    model: str | None = None,
    source: str | None = None,
    limit: int = 1000,
    cursor: str | None = None,
) -> Prices:
    """A page of the book. `provider` and `source` are exact, `model` is a part of its name. Raises BadQuestion."""
    listings.require_limit(limit)
    (begin,) = listings.place_of(cursor, int)
    rows = book.rows()
    for name, value in (("provider", provider), ("source", source)):
        rows = rows if value is None else rows.filter(pl.col(name) == value)
    if model is not None:
        rows = rows.filter(pl.col("model").str.to_lowercase().str.contains(model.lower(), literal=True))
    begin = max(0, begin or 0)
    page = rows.slice(begin, limit).with_columns(pl.col(pl.Date).dt.to_string("%Y-%m-%d"))
    more = begin + limit < rows.height
    return {
        "version": book.version,
        "items": page.to_dicts(),
        "next_cursor": listings.bookmark(begin + limit) if more else None,
        "as_of": moment(now_ns),
    }


def list_unpriced(
    store: Store, now_ns: int, *, from_ns: int = EVER_NS[0], to_ns: int = EVER_NS[1], tenant: str | None = None
) -> Unpriced:
    """At most 1,000 models of a period that have no cost."""
    with listings.reading(store) as c:
        found = listings.rows(c, "unpriced", {"from_ns": from_ns, "to_ns": to_ns, "tenant": tenant})
        items = [
            {name: value for name, value in row.items() if not name.endswith("_ns")}
            | {"first_at": moment(row["first_ns"]), "last_at": moment(row["last_ns"])}
            for row in found
        ]
        return {"items": items, "next_cursor": None, **listings.currency(c, now_ns)}
