"""Findings: loops and the like, newest first, each with the spans that prove it and the money it wasted."""

from typing import Any

from fastapi import APIRouter, Request, Response

from analytics.reports.choices import choices
from analytics.reports.findings import SEVERITIES, list_findings
from dashboards.pages.frame import Table, period, respond

router = APIRouter(include_in_schema=False)

FILTERS = ("rule", "severity", "agent", "tenant")
COLUMNS = (
    *("finding_id", "rule", "severity", "evidence", "run_id", "tenant", "agent", "subject", "occurrences"),
    *("wasted_usd", "started_at", "ended_at", "sentence", "action", "span_ids"),
)


@router.get("/findings")
def page(request: Request) -> Response:
    """One page of the findings that match the filters."""
    store, now_ns = request.app.state.store, request.app.state.clock()
    wanted: dict[str, Any] = {name: request.query_params.get(name) or None for name in FILTERS}
    when, cursor = period(request, now_ns), request.query_params.get("cursor")
    found = list_findings(store, now_ns, from_ns=when.from_ns, to_ns=when.to_ns, cursor=cursor, **wanted)
    return respond(
        request,
        "findings.html",
        {"findings": Table("Findings", {name: name for name in COLUMNS}, found["items"])},
        active="findings",
        findings=found["items"],
        next_cursor=found["next_cursor"],
        cursor=cursor,
        wanted=wanted,
        when=when,
        severities=SEVERITIES,
        choices=choices(store),
    )
