"""/api/v1/runs: the list, one run, the spans of one run."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from analytics.reports import listings
from analytics.reports.runs import OneRun, Runs, list_runs, run
from analytics.reports.spans import Spans, list_spans
from analytics.reports.values import pusd
from dashboards.api.answers import answer
from dashboards.api.questions import Question, now_ns_of, store_of, tenant_of

router = APIRouter(prefix="/api/v1", tags=["runs"])


class RunsQuestion(Question):
    """Filters of runs."""

    tenant: str | None = None
    agent: str | None = None
    status: list[str] = Field([], description="ok, error, running, stuck or incomplete; may be repeated.")
    user: str | None = None
    session: str | None = None
    environment: str | None = None
    service: str | None = None
    model: str | None = Field(None, description="Runs that called this model.")
    tool: str | None = Field(None, description="Runs that called this tool.")
    rule: str | None = Field(None, description="Runs with a finding of this rule, or `any`.")
    min_cost: str | None = Field(None, description="Runs that cost at least this many USD.")
    q: str | None = Field(None, description="Beginning of the run id, or part of the agent's or root span's name.")


class Page(BaseModel):
    """The parameters of a listing without a period."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(1000, ge=1, le=listings.MAX_LIMIT)
    cursor: str | None = None


@router.get("/runs", response_model=Runs)
def get_runs(request: Request, asked: Annotated[RunsQuestion, Query()]) -> Response:
    """Runs, newest first."""
    from_ns, to_ns = asked.period(request)
    filters = asked.filters()
    filters["min_cost_pusd"] = pusd("min_cost", filters.pop("min_cost"))  # type: ignore[assignment]
    page = {"limit": asked.limit, "cursor": asked.cursor}
    found = list_runs(store_of(request), now_ns_of(request), from_ns=from_ns, to_ns=to_ns, **page, **filters)  # type: ignore[arg-type]
    return answer(request, found)


@router.get("/runs/{run_id}", response_model=OneRun)
def get_run(request: Request, run_id: str) -> Response:
    """One run."""
    found = run(store_of(request), run_id, now_ns_of(request))
    if found is None or tenant_of(request) not in (None, found["tenant"]):
        raise HTTPException(404, "no run has this id: it may be older than the retention, or still on the way")
    return answer(request, found)


@router.get("/runs/{run_id}/spans", response_model=Spans)
def get_spans(request: Request, run_id: str, asked: Annotated[Page, Query()]) -> Response:
    """The spans of a run in the order of a waterfall."""
    if (tenant := tenant_of(request)) is not None:
        get_run(request, run_id)  # which refuses another tenant's
    found = list_spans(store_of(request), run_id, now_ns_of(request), limit=asked.limit, cursor=asked.cursor)
    if found is None:
        raise HTTPException(404, "no span belongs to a run with this id: it may be older than the retention")
    if tenant is not None:  # a sub-agent may work for another one
        found["items"] = [span for span in found["items"] if span["tenant"] == tenant]
    return answer(request, found)
