"""/api/v1/costs: money, tokens and calls by any combination of group keys."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from analytics.reports import listings
from analytics.reports.costs import GROUP_KEYS, Costs, list_costs
from dashboards.api.answers import answer
from dashboards.api.questions import Question, now_ns_of, store_of

router = APIRouter(prefix="/api/v1", tags=["costs"])


class CostsQuestion(Question):
    """The grouping, and the slice of calls to sum."""

    group_by: list[str] = Field([], description=f"Any of {', '.join(GROUP_KEYS)}; separated by commas or repeated.")
    limit: int = Field(1000, ge=1, le=listings.MAX_LIMIT, description="Most groups of this page.")
    agent: str | None = None
    agent_version: str | None = None
    service: str | None = None
    service_version: str | None = None
    tenant: str | None = None
    environment: str | None = None
    provider: str | None = None
    model: str | None = None
    tool_server: str | None = None
    tool: str | None = None
    dialect: str | None = None
    user: str | None = None
    session: str | None = None
    run: str | None = None
    step: str | None = None


@router.get("/costs", response_model=Costs)
def get_costs(request: Request, asked: Annotated[CostsQuestion, Query()]) -> Response:
    """What calls cost, by group, with a total over all groups that is the same for every grouping."""
    from_ns, to_ns = asked.period(request)
    filters = asked.filters()
    del filters["group_by"]
    found = list_costs(
        store_of(request),
        now_ns_of(request),
        group_by=[key for text in asked.group_by for key in text.split(",") if key],
        from_ns=from_ns,
        to_ns=to_ns,
        tz=asked.tz,
        limit=asked.limit,
        cursor=asked.cursor,
        owners=request.app.state.owners,
        **filters,
    )
    return answer(request, found)
