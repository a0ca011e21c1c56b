"""SLOs: what burns, how much error budget is left and for how long."""

from importlib import resources
from typing import Any

from fastapi import APIRouter, Request, Response

from analytics.reports.slos import history, slos
from dashboards import charts, format
from dashboards.pages.frame import Table, missing, respond

router = APIRouter(include_in_schema=False)

COLUMNS = {
    name: name
    for name in ("slo", "title", "group", "status", "objective", "period", "events", "bad", "budget_left", "burn")
}
EXAMPLE = "run-success.yaml"


@router.get("/slos")
def page(request: Request) -> Response:
    """All objectives, the one that burns most first."""
    state = request.app.state
    items = slos(state.store, state.slos, state.clock())["items"]
    return respond(
        request,
        "slos.html",
        {"slos": Table("SLOs", COLUMNS, [_flat(item) for item in items])},
        active="slos",
        slos=items,
        example_name=EXAMPLE,
        example=resources.files("analytics").joinpath("data", "slos", EXAMPLE).read_text(),
    )


@router.get("/slos/{name}")
def one(request: Request, name: str) -> Response:
    """One objective: its windows, and its budget over the period."""
    state = request.app.state
    chosen = next((slo for slo in state.slos if slo.name == name), None)
    if chosen is None:
        return missing(request, f"SLO {name}", "The files in slos/ of the data folder define them.")
    items = [i for i in slos(state.store, state.slos, state.clock())["items"] if i["slo"] == name]
    steps = [_flat(step) for step in history(state.store, chosen, state.clock())["items"]]
    columns = {"at": "Until", "group": "Group", "good": "Good", "bad": "Bad", "burn": "Burn", "budget_left": "Left"}
    return respond(
        request,
        "slo.html",
        {"budget": Table("Error budget over the period", columns, steps)},
        active="slos",
        slos=items,
        slo=items[0],
        figure=_figure(steps),
    )


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """The group as text."""
    return row | {"group": " · ".join(value for value in row["group"].values() if value)}


def _figure(steps: list[dict[str, Any]]) -> charts.Figure:
    """Budget left over time, one line a group."""
    times = sorted({step["at"] for step in steps})
    left = {(step["group"], step["at"]): step["budget_left"] for step in steps}
    groups = sorted({step["group"] for step in steps})[:8]
    series = {g or "budget left": [left.get((g, at)) for at in times] for g in groups}
    return charts.shares([format.utc(at)[5:16] for at in times], series, charts.ranked(list(series)))
