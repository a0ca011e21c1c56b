"""/api/v1/prices, reprices, months, reconciliations: the price book, and what finance does with costs.

The application's state gives `book()`, the price book in force, `owners`, and `quiet()`, a context in which no job
runs.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from analytics.close import CloseError, close_month
from analytics.reports import listings, periods
from analytics.reports.prices import Prices, Unpriced, list_prices, list_unpriced
from analytics.reports.reconcile import Reconciliation, reconcile_export
from analytics.reports.reprice import Repricing, closed_month, list_months, list_reprices, month_costs, repricing
from analytics.reports.values import BadQuestion
from analytics.reprice import RepriceError, Selection, preview, reprice, undo
from analytics.usage_exports import MAX_BYTES
from dashboards.api.answers import answer, problem
from dashboards.api.questions import Question, actor_of, now_ns_of, store_of

router = APIRouter(prefix="/api/v1", tags=["prices"])


class PricesQuestion(BaseModel):
    """A slice of the price book."""

    model_config = ConfigDict(extra="forbid")

    provider: str | None = None
    model: str | None = Field(None, description="A part of the model's name.")
    source: str | None = Field(None, description="Where the price comes from, such as prices.toml.")
    limit: int = Field(1000, ge=1, le=listings.MAX_LIMIT)
    cursor: str | None = None


class UnpricedQuestion(Question):
    """A period, of one tenant or all."""

    tenant: str | None = None


class RepriceQuestion(BaseModel):
    """Which calls to price again with the book in force; only shown with `dry_run`."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    begin: str | None = Field(None, alias="from")
    end: str | None = Field(None, alias="to")
    model: str | None = Field(None, description="Only calls of exactly this model.")
    dry_run: bool = False


@router.get("/prices", response_model=Prices)
def get_prices(request: Request, asked: Annotated[PricesQuestion, Query()]) -> Response:
    """The price book in force: list prices and overrides."""
    found = list_prices(request.app.state.book(), now_ns_of(request), **asked.model_dump())
    return answer(request, found)


@router.get("/prices/unpriced", response_model=Unpriced)
def get_unpriced(request: Request, asked: Annotated[UnpricedQuestion, Query()]) -> Response:
    """The models that cost something unknown, with their volume."""
    from_ns, to_ns = asked.period(request)
    found = list_unpriced(store_of(request), now_ns_of(request), from_ns=from_ns, to_ns=to_ns, tenant=asked.tenant)
    return answer(request, found)


@router.get("/reprices", response_model=dict[str, Any])
def get_reprices(request: Request) -> Response:
    """The audit of repricing."""
    return answer(request, list_reprices(store_of(request), now_ns_of(request)))


@router.post("/reprices", response_model=Repricing)
def post_reprice(request: Request, asked: RepriceQuestion) -> Response:
    """Price stored calls again, or show what that would change."""
    store, book, now_ns = store_of(request), request.app.state.book(), now_ns_of(request)
    with store.cursor() as c:
        selection = Selection(*periods.period(c, asked.begin, asked.end, now_ns=now_ns), asked.model)
    if asked.dry_run:
        return answer(request, repricing(preview(store, book, selection)))
    with request.app.state.quiet():
        done = reprice(store, book, selection, actor=actor_of(request), now_ns=now_ns)
    return answer(request, repricing(done))


@router.post("/reprices/{number}/undo", response_model=Repricing)
def post_undo(request: Request, number: int) -> Response:
    """Take a repricing back."""
    try:
        with request.app.state.quiet():
            done = undo(store_of(request), number, actor=actor_of(request), now_ns=now_ns_of(request))
    except RepriceError as e:
        raise BadQuestion("number", str(e)) from None
    return answer(request, repricing(done))


@router.get("/months", response_model=dict[str, Any])
def get_months(request: Request) -> Response:
    """Closed months."""
    return answer(request, list_months(store_of(request), now_ns_of(request)))


@router.get("/months/{month}", response_model=dict[str, Any])
def get_month(request: Request, month: str, group_by: str = "") -> Response:
    """What a closed month came to, and its corrections, by any of its keys."""
    keys = tuple(dict.fromkeys(key for key in group_by.split(",") if key))
    try:
        return answer(request, month_costs(store_of(request), now_ns_of(request), month, keys))
    except CloseError as e:
        raise BadQuestion("month", str(e)) from None


@router.post("/months/{month}", response_model=dict[str, Any])
def post_month(request: Request, month: str) -> Response:
    """Close a month that has ended."""
    try:
        with request.app.state.quiet():
            closed = close_month(
                store_of(request),
                month,
                owners=request.app.state.owners,
                actor=actor_of(request),
                now_ns=now_ns_of(request),
            )
    except CloseError as e:
        raise BadQuestion("month", str(e)) from None
    return answer(request, closed_month(closed))


@router.post("/reconciliations", response_model=Reconciliation)
async def post_reconciliation(request: Request, name: str = "the file") -> Response:
    """Compare a provider's usage or cost export, sent as the body, with what was recorded."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            return problem(413, f"{name} exceeds {MAX_BYTES >> 20} MiB: export fewer days at a time", field="file")
    found = await run_in_threadpool(reconcile_export, store_of(request), now_ns_of(request), name[:200], bytes(body))
    return answer(request, found)
