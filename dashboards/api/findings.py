"""/api/v1/findings: what went wrong."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from analytics.reports.findings import Findings, list_findings
from dashboards.api.answers import answer
from dashboards.api.questions import Question, now_ns_of, store_of

router = APIRouter(prefix="/api/v1", tags=["findings"])


class FindingsQuestion(Question):
    """Filters of findings."""

    rule: str | None = None
    severity: str | None = None
    tenant: str | None = None
    agent: str | None = None
    run: str | None = None


@router.get("/findings", response_model=Findings)
def get_findings(request: Request, asked: Annotated[FindingsQuestion, Query()]) -> Response:
    """Findings, newest first."""
    from_ns, to_ns = asked.period(request)
    page = {"limit": asked.limit, "cursor": asked.cursor}
    store, now_ns = store_of(request), now_ns_of(request)
    return answer(request, list_findings(store, now_ns, from_ns=from_ns, to_ns=to_ns, **page, **asked.filters()))  # type: ignore[arg-type]
