"""/api/v1/costs: money, tokens and calls by any combination of group keys."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from analytics.reports import explorer, listings
from analytics.reports.costs import FILTERS, GROUP_KEYS, Costs, list_costs
from analytics.reports.explorer import Drivers
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
    owner: str | None = None

    def keys(self) -> tuple[str, ...]:
        """The group keys, each once."""
        return tuple(dict.fromkeys(key for text in self.group_by for key in text.split(",") if key))

    def slice(self) -> dict[str, str | None]:
        """The filters alone."""
        return {name: getattr(self, name) for name in FILTERS}


@router.get("/costs", response_model=Costs)
def get_costs(request: Request, asked: Annotated[CostsQuestion, Query()]) -> Response:
    """What calls cost, by group, with a total over all groups that is the same for every grouping."""
    from_ns, to_ns = asked.period(request)
    found = list_costs(
        store_of(request),
        now_ns_of(request),
        group_by=asked.keys(),
        from_ns=from_ns,
        to_ns=to_ns,
        tz=asked.tz,
        limit=asked.limit,
        cursor=asked.cursor,
        owners=request.app.state.owners,
        **asked.slice(),
    )
    return answer(request, found)


@router.get("/costs/drivers", response_model=Drivers)
def get_drivers(request: Request, asked: Annotated[CostsQuestion, Query()]) -> Response:
    """Why costs differ from the period of the same length before, by group, in parts that add up to the difference."""
    from_ns, to_ns = asked.period(request)
    to_ns = now_ns_of(request) if asked.end is None else to_ns
    question = explorer.Question(asked.keys(), from_ns, to_ns, request.app.state.owners, asked.slice())
    return answer(request, explorer.compare(store_of(request), now_ns_of(request), question, limit=asked.limit))
