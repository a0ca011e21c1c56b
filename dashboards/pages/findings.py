"""Findings: loops and the like, newest first, each with the spans that prove it and the money it wasted."""

from fastapi import APIRouter, Request, Response

from analytics.reports.findings import SEVERITIES, list_findings
from dashboards.pages.listing import listed

router = APIRouter(include_in_schema=False)

FILTERS = ("rule", "severity", "agent", "tenant")
COLUMNS = (
    *("finding_id", "rule", "severity", "evidence", "run_id", "tenant", "agent", "subject", "occurrences"),
    *("wasted_usd", "started_at", "ended_at", "sentence", "action", "span_ids"),
)


@router.get("/findings")
def page(request: Request) -> Response:
    """One page of the findings that match the filters."""
    return listed(request, "findings", list_findings, FILTERS, COLUMNS, severities=SEVERITIES)
