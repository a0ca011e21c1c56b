"""The price book as a list, and the models it has no price for."""

from typing import Any

import polars as pl
from typing_extensions import TypedDict

from analytics.pricing.book import PriceBook
from analytics.pricing.entries import entry_for
from analytics.reports import listings
from analytics.reports.listings import Lag
from analytics.reports.periods import EVER_NS
from analytics.reports.values import moment
from collector.store import Store

OWN = "prices.toml"
"""The source of the prices that the user wrote."""

_LINE = ("kind", "provider", "model", "context", "tenant", "valid_from", "valid_to", "source")


class Prices(TypedDict):
    """Prices of the book, later ones beating earlier ones; an item is a row of `PriceBook.rows`, days as text."""

    version: str
    items: list[dict[str, Any]]
    next_cursor: str | None
    as_of: str


class BookLines(TypedDict):
    """Prices of the book, the user's own first. An item: the columns of `PriceBook.rows` but `unit` and `per`, and in
    `usd` exact amounts by unit. `lines` match, `own` of them are the user's; `providers`: all of the book.
    """

    version: str
    items: list[dict[str, Any]]
    lines: int
    own: int
    providers: list[str]
    next_cursor: str | None


class Unpriced(TypedDict):
    """Models without a cost, most called first: `pricing` (unpriced: no price; unknown: no usage told), `provider`,
    `model`, `calls`, `input_tokens`, `output_tokens`, `first_at`, `last_at`, `entry` (what to write in prices.toml, its
    amounts left open; None where a price would not help)."""

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
    rows = _matching(book.rows, provider, model, source)
    page, next_cursor = _page(rows, limit, cursor)
    return {"version": book.version, "items": page.to_dicts(), "next_cursor": next_cursor, "as_of": moment(now_ns)}


def list_lines(
    book: PriceBook,
    *,
    provider: str | None = None,
    model: str | None = None,
    source: str | None = None,
    limit: int = 25,
    cursor: str | None = None,
) -> BookLines:
    """A page of the book as people read it, asked for like `list_prices`. Raises BadQuestion."""
    rows = book.rows
    lines = _matching(rows, provider, model, source).group_by(_LINE, maintain_order=True).agg("unit", "usd")
    lines = lines.sort(pl.col("source") != OWN, maintain_order=True)
    page, next_cursor = _page(lines, limit, cursor)
    items = [
        {name: line[name] for name in _LINE} | {"usd": dict(zip(line["unit"], line["usd"], strict=True))}
        for line in page.iter_rows(named=True)
    ]
    return {
        "version": book.version,
        "items": items,
        "lines": lines.height,
        "own": lines.filter(source=OWN).height,
        "providers": rows.filter(kind="model")["provider"].drop_nulls().unique().sort().to_list(),
        "next_cursor": next_cursor,
    }


def list_unpriced(
    store: Store, now_ns: int, *, from_ns: int = EVER_NS[0], to_ns: int = EVER_NS[1], tenant: str | None = None
) -> Unpriced:
    """At most 1,000 models of a period that have no cost."""
    with listings.reading(store) as c:
        found = listings.rows(c, "unpriced", {"from_ns": from_ns, "to_ns": to_ns, "tenant": tenant})
        items = [
            {name: value for name, value in row.items() if not name.endswith("_ns")}
            | {"first_at": moment(row["first_ns"]), "last_at": moment(row["last_ns"]), "entry": _entry(row)}
            for row in found
        ]
        return {"items": items, "next_cursor": None, **listings.currency(c, now_ns)}


def _matching(rows: pl.DataFrame, provider: str | None, model: str | None, source: str | None) -> pl.DataFrame:
    for name, value in (("provider", provider), ("source", source)):
        rows = rows if value is None else rows.filter(pl.col(name) == value)
    if model is not None:
        rows = rows.filter(pl.col("model").str.to_lowercase().str.contains(model.lower(), literal=True))
    return rows


def _page(rows: pl.DataFrame, limit: int, cursor: str | None) -> tuple[pl.DataFrame, str | None]:
    """Some rows, days as text, and where the next ones begin."""
    listings.require_limit(limit)
    (begin,) = listings.place_of(cursor, int)
    begin = max(0, begin or 0)
    page = rows.slice(begin, limit).with_columns(pl.col(pl.Date).dt.to_string("%Y-%m-%d"))
    return page, listings.bookmark(begin + limit) if begin + limit < rows.height else None


def _entry(row: dict[str, Any]) -> str | None:
    """What to write where a price helps: not for calls without usage, nor for those that name no model."""
    return entry_for(row["provider"], row["model"]) if row["pricing"] == "unpriced" and row["model"] else None
