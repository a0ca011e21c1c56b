"""What every page shares: the template environment, the answer as HTML or CSV, the time period, the navigation."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analytics.calendars import day
from analytics.reports.values import BadQuestion
from dashboards import format
from dashboards.pages import assets

MINUTE_NS = 60 * 10**9
HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS

NAVIGATION = (
    ("Overview", "/", "overview"),
    ("Runs", "/runs", "runs"),
    ("Cost", "/cost", "cost"),
    ("Prices", "/prices", "prices"),
    ("Findings", "/findings", "findings"),
    ("SLOs", "/slos", "slos"),
    ("Alerts", "/alerts", "alerts"),
    ("Data quality", "/quality", "quality"),
    ("Settings", "/settings", "settings"),
)
PERIODS = {"today": "Today", "yesterday": "Yesterday", "24h": "24 h", "7d": "7 days", "30d": "30 days"}

FIRST_SPAN = """curl http://127.0.0.1:4318/v1/traces -H 'Content-Type: application/json' -d '{"resourceSpans": [{
  "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "hello"}}]},
  "scopeSpans": [{"spans": [{
    "traceId": "'$(openssl rand -hex 16)'", "spanId": "'$(openssl rand -hex 8)'", "name": "invoke_agent hello",
    "startTimeUnixNano": "'$(date +%s)000000000'", "endTimeUnixNano": "'$(date +%s)500000000'",
    "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "invoke_agent"}},
                   {"key": "gen_ai.agent.name", "value": {"stringValue": "hello"}}]}]}]}]}'"""

templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent.parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters |= format.FILTERS
CHEVRON = Markup('<svg class="icon" aria-hidden="true"><use href="#i-chevron"/></svg>')
templates.globals |= {
    "chevron": CHEVRON,
    "asset": assets.address,
    "plotly": assets.PLOTLY,
    "first_span": FIRST_SPAN,
    "navigation": NAVIGATION,
    "periods": PERIODS,
}


@dataclass(frozen=True)
class Table:
    """The numbers behind a chart or a list: shown under the chart and given as CSV.

    `columns` maps a field of the rows to its heading.
    """

    title: str
    columns: dict[str, str]
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Period:
    """A half-open stretch of time in nanoseconds, as the address states it."""

    name: str
    from_ns: int
    to_ns: int
    zone: str = "UTC"

    @property
    def label(self) -> str:
        """In words, for headings."""
        if self.name in ("today", "yesterday"):
            return f"{self.name} ({self.zone})"
        if self.name in PERIODS:
            return f"last {PERIODS[self.name]}"
        return f"{format.utc(self.from_ns)[:10]} to {format.utc(self.to_ns - 1)[:10]}"


def period(request: Request, now_ns: int, default: str = "7d") -> Period:
    """The period of `period=` (a preset) or of `from=` and `to=` (days in UTC, both included). Where the page is of one
    tenant, its today and yesterday begin by its own clocks.

    What cannot be read falls back to the preset `default`.
    """
    query = request.query_params
    name, end = query.get("period", default), now_ns + 1
    if query.get("from") or query.get("to"):
        first, last = _day_ns(query.get("from")), _day_ns(query.get("to"))
        if first is not None and (last is None or last >= first):
            return Period("custom", first, end if last is None else last + DAY_NS)
    lengths = {"24h": DAY_NS, "7d": 7 * DAY_NS, "30d": 30 * DAY_NS}
    if name in ("today", "yesterday"):
        zone = request.app.state.zones.of(query["tenant"]) if query.get("tenant") else "UTC"
        midnight = day(zone, now_ns // MINUTE_NS)[0]
        if name == "yesterday":
            return Period(name, day(zone, midnight - 1)[0] * MINUTE_NS, midnight * MINUTE_NS, zone)
        return Period(name, midnight * MINUTE_NS, end, zone)
    name = name if name in lengths else default
    return Period(name, end - lengths[name], end)


def _day_ns(text: str | None) -> int | None:
    try:
        return int(datetime.strptime(text or "", "%Y-%m-%d").replace(tzinfo=UTC).timestamp()) * 10**9
    except ValueError:
        return None


def respond(request: Request, template: str, tables: dict[str, Table], **context: Any) -> Response:
    """The page, or one of its tables where the address asks for `csv=NAME`."""
    if (name := request.query_params.get("csv")) in tables:
        return _csv(name, tables[name])
    now_ns: int = request.app.state.clock()
    frame = {"request": request, "now_ns": now_ns, "tables": tables, "with_query": _with_query(request)}
    html = templates.get_template(template).render(frame | context)
    return HTMLResponse(html, headers={"Cache-Control": "no-store"})


def missing(request: Request, what: str, remedy: str) -> Response:
    """A page that says what was not found, and what to do."""
    answer = respond(request, "missing.html", {}, active="", what=what, remedy=remedy)
    answer.status_code = 404
    return answer


def nowhere(request: Request) -> Response:
    """A page for an address that is none."""
    return missing(
        request, f"page {request.url.path}", "The navigation names every page; a link to here is out of date."
    )


def refused(request: Request, error: BadQuestion) -> Response:
    """A page that says which part of its address is wrong, and what to write instead."""
    answer = respond(request, "refused.html", {}, active="", field=error.field, why=str(error))
    answer.status_code = 400
    return answer


def _with_query(request: Request) -> Any:
    """A function for templates: this page's address with some parameters changed; None removes one."""

    def address(**changes: Any) -> str:
        query = dict(request.query_params) | changes
        query = {k.rstrip("_"): v for k, v in query.items() if v not in (None, "")}
        return request.url.path + (f"?{urlencode(query)}" if query else "")

    return address


def _csv(name: str, table: Table) -> StreamingResponse:
    def lines() -> Iterator[str]:
        for row in [table.columns.keys(), *([row.get(c) for c in table.columns] for row in table.rows)]:
            line = io.StringIO()
            csv.writer(line).writerow([format.csv_cell(value) for value in row])
            yield line.getvalue()

    headers = {
        "Content-Disposition": f'attachment; filename="spanledger-{name}.csv"',
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)
