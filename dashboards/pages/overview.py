"""Overview: are runs succeeding, what burns, what did today cost, what loops, how complete are these numbers."""

from typing import Any

from fastapi import APIRouter, Request, Response

from analytics.reports.overview import STATUSES, overview
from analytics.reports.slos import slos
from dashboards import charts, format
from dashboards.pages.frame import Table, respond

router = APIRouter(include_in_schema=False)


@router.get("/")
def page(request: Request) -> Response:
    """The whole answer on one screen."""
    view = overview(request.app.state.store, request.app.state.clock())
    state = request.app.state
    burning = slos(state.store, state.slos, state.clock(), windows=state.maintenance)["items"]
    tables = {"runs-by-hour": _runs_table(view), "cost-by-hour": _cost_table(view)}
    figures = {"runs-by-hour": _runs_figure(view), "cost-by-hour": _cost_figure(view)}
    return respond(request, "overview.html", tables, active="overview", figures=figures, slos=burning, **view)


def _runs_table(view: dict[str, Any]) -> Table:
    rows = [h | {"hour": format.utc(h["start_at"])[:16]} for h in view["runs"]["by_hour"]]
    return Table("Runs by hour, last 24 hours (UTC)", {"hour": "Hour (UTC)"} | {s: s for s in STATUSES}, rows)


def _runs_figure(view: dict[str, Any]) -> charts.Figure:
    hours = view["runs"]["by_hour"]
    series = {s: [h[s] for h in hours] for s in STATUSES}
    links = [f"/runs?from={h['start_at'][:10]}&to={h['start_at'][:10]}" for h in hours]
    labels = [format.utc(h["start_at"])[11:16] for h in hours]
    return charts.bars(labels, series, charts.STATUS_COLOURS, links=links)


def _cost_table(view: dict[str, Any]) -> Table:
    today, yesterday = view["cost"]["today_by_hour"], view["cost"]["yesterday_by_hour"]
    rows = [
        {"hour": f"{h:02}:59", "today_usd": today[h] if h < len(today) else "", "yesterday_usd": y}
        for h, y in enumerate(yesterday)
    ]
    columns = {"hour": "Until (UTC)", "today_usd": "Today, USD", "yesterday_usd": "Yesterday, USD"}
    return Table("Cost since midnight (UTC), today against yesterday", columns, rows)


def _cost_figure(view: dict[str, Any]) -> charts.Figure:
    cost = view["cost"]
    series = {name: [float(v) for v in cost[f"{name}_by_hour"]] for name in ("today", "yesterday")}
    colours = {"today": "--series-1", "yesterday": "--other"}
    return charts.lines([f"{h:02}:00" for h in range(24)], series, colours)
