"""Runs: search and filter, the state in the address, newest first, new ones as they come."""

from typing import Any

from fastapi import APIRouter, Request, Response

from analytics.reports.choices import choices
from analytics.reports.runs import STATUSES, list_runs
from dashboards.pages.frame import Table, period, respond

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
    store, now_ns = request.app.state.store, request.app.state.clock()
    wanted: dict[str, Any] = {name: request.query_params.get(name) or None for name in FILTERS}
    when, cursor = period(request, now_ns), request.query_params.get("cursor")
    found = list_runs(store, now_ns, from_ns=when.from_ns, to_ns=when.to_ns, cursor=cursor, **wanted)
    return respond(
        request,
        "runs.html",
        {"runs": Table("Runs", {name: name for name in COLUMNS}, found["items"])},
        active="runs",
        runs=found["items"],
        next_cursor=found["next_cursor"],
        cursor=cursor,
        wanted=wanted,
        when=when,
        statuses=STATUSES,
        choices=choices(store),
    )
