"""Prices: the book in force, what has no price and how to give it one, and what repricing would change."""

import shlex
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from analytics.pricing.book import PriceBook
from analytics.reports import listings, periods
from analytics.reports.prices import OWN, list_lines, list_prices, list_unpriced
from analytics.reports.reprice import Repricing, list_reprices, repricing
from analytics.reprice import Selection, preview
from collector.store import Store
from dashboards.pages.frame import Table, period, respond

router = APIRouter(include_in_schema=False)

LINES = 25  # of the book on a page
PREVIEW_ROWS = 200  # that the page shows; the CSV holds all
PRICES = ("kind", "provider", "model", "unit", "usd", "per", "context", "valid_from", "valid_to", "tenant", "source")
UNPRICED = ("pricing", "provider", "model", "calls", "input_tokens", "output_tokens", "first_at", "last_at", "entry")
CHANGES = (
    *("day", "provider", "model", "tool", "calls", "changed_calls", "old_priced_calls", "new_priced_calls"),
    *("old_usd", "new_usd", "difference_usd"),
)
MAIN_UNITS = ("input", "cache_read", "cache_write", "output")


@router.get("/prices")
def page(request: Request) -> Response:
    """The book, what it lacks, and the preview that the address asks for."""
    state, query = request.app.state, request.query_params
    store, now_ns, book = state.store, state.clock(), state.book()
    wanted: dict[str, Any] = {name: query.get(name) or None for name in ("provider", "model", "source")}
    when = period(request, now_ns, "30d")
    unpriced = list_unpriced(store, now_ns, from_ns=when.from_ns, to_ns=when.to_ns)["items"]
    asked = {name: query.get(name) or None for name in ("from", "to", "only")}
    shown = _preview(store, book, now_ns, **asked) if "preview" in query else None
    every = list_prices(book, now_ns, **wanted, limit=listings.MAX_LIMIT)["items"] if "csv" in query else []
    return respond(
        request,
        "prices.html",
        {
            "prices": _table("Prices", PRICES, every),
            "unpriced": _table("Without a price", UNPRICED, unpriced),
            "changes": _table("What repricing would change", CHANGES, shown["items"] if shown else []),
        },
        active="prices",
        when=when,
        wanted=wanted,
        found=list_lines(book, **wanted, limit=LINES, cursor=query.get("cursor")),
        cursor=query.get("cursor"),
        main_units=MAIN_UNITS,
        own=OWN,
        refused=state.refused.get(OWN),
        unpriced=unpriced,
        asked=asked,
        shown=shown,
        most=PREVIEW_ROWS,
        command=command(asked),
        done=list_reprices(store, now_ns)["items"][:20],
    )


def _preview(store: Store, book: PriceBook, now_ns: int, only: str | None, **bounds: str | None) -> Repricing:
    """What repricing would change, of one model or of everything. Raises BadQuestion."""
    with store.cursor() as c:
        begin_ns, end_ns = periods.period(c, bounds["from"], bounds["to"], now_ns=now_ns)
    return repricing(preview(store, book, Selection(begin_ns, end_ns, only)))


def command(asked: dict[str, str | None]) -> str:
    """The command that does what the preview shows."""
    flags = {"--from": asked["from"], "--to": asked["to"], "--model": asked["only"]}
    return shlex.join(
        ["spanledger", "reprice", *(part for name, value in flags.items() if value for part in (name, value))]
    )


def _table(title: str, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> Table:
    return Table(title, {name: name for name in columns}, rows)
