"""Runs: search and filter, the state in the address, newest first, new ones as they come."""

from fastapi import APIRouter, Request, Response

from analytics.reports.runs import STATUSES, list_runs
from dashboards.pages.listing import listed

router = APIRouter(include_in_schema=False)

FILTERS = ("status", "agent", "tenant", "environment", "user", "session", "model", "tool", "rule", "q")
COLUMNS = (
    *("run_id", "status", "agent", "tenant", "user", "session", "environment", "started_at", "duration_ms", "steps"),
    *("llm_calls", "llm_errors", "tool_calls", "tool_errors", "input_tokens", "output_tokens", "cost_usd"),
    *("wasted_usd", "priced_calls", "unpriced_calls", "unknown_calls", "findings"),
)


@router.get("/runs")
def page(request: Request) -> Response:
    """One page of runs that match the filters."""
    return listed(request, "runs", list_runs, FILTERS, COLUMNS, statuses=STATUSES)
