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
    for name in (
        *("slo", "title", "group", "status", "objective", "period", "period_begins", "period_ends"),
        *("events", "bad", "budget_left", "burn"),
        *("events_with_maintenance", "bad_with_maintenance", "budget_left_with_maintenance", "burn_with_maintenance"),
    )
}
EXAMPLE = "run-success.yaml"


@router.get("/slos")
def page(request: Request) -> Response:
    """All objectives, the one that burns most first."""
    state = request.app.state
    answer = slos(state.store, state.slos, state.clock(), windows=state.maintenance)
    return respond(
        request,
        "slos.html",
        {"slos": Table("SLOs", COLUMNS, [_flat(item) for item in answer["items"]])},
        active="slos",
        slos=answer["items"],
        maintenance=answer["maintenance"],
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
    windows = [window for window in state.maintenance if window.covers(name)]
    answer = slos(state.store, [chosen], state.clock(), windows=windows)
    items = answer["items"]
    steps = [_flat(step) for step in history(state.store, chosen, state.clock(), windows=windows)["items"]]
    columns = {"at": "Until", "group": "Group", "good": "Good", "bad": "Bad", "burn": "Burn", "budget_left": "Left"}
    return respond(
        request,
        "slo.html",
        {"budget": Table("Error budget over the period", columns, steps)},
        active="slos",
        slos=items,
        slo=items[0],
        maintenance=answer["maintenance"],
        figure=_figure(steps),
    )


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """The group as text, and the figures with maintenance beside the others."""
    with_maintenance = {f"{key}_with_maintenance": value for key, value in row.get("with_maintenance", {}).items()}
    return row | with_maintenance | {"group": " · ".join(value for value in row["group"].values() if value)}


def _figure(steps: list[dict[str, Any]]) -> charts.Figure:
    """Budget left over time, one line a group."""
    times = sorted({step["at"] for step in steps})
    left = {(step["group"], step["at"]): step["budget_left"] for step in steps}
    groups = sorted({step["group"] for step in steps})[:8]
    series = {g or "budget left": [left.get((g, at)) for at in times] for g in groups}
    return charts.shares([format.utc(at)[5:16] for at in times], series, charts.ranked(list(series)))
