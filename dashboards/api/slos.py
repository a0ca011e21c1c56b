"""/api/v1/slos: error budgets and burn rates."""

from typing import Any

from fastapi import APIRouter, Request, Response

from analytics.reports.slos import slos
from dashboards.api.answers import answer
from dashboards.api.questions import now_ns_of, store_of

router = APIRouter(prefix="/api/v1", tags=["slos"])


@router.get("/slos", response_model=dict[str, Any])
def get_slos(request: Request, tenant: str | None = None) -> Response:
    """Each objective and group with its budget, burn rates and status, worst first; what planned maintenance leaves
    out, and why."""
    state = request.app.state
    found = slos(store_of(request), state.slos, now_ns_of(request), tenant, state.maintenance)
    return answer(request, found)
