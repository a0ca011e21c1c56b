"""`/slos`: error budgets and burn rates."""

from typing import Any

from fastapi import APIRouter, HTTPException, Request

from analytics.reports import slos as report

router = APIRouter(tags=["slos"])


@router.get("/slos")
def list_slos(request: Request, tenant: str | None = None) -> dict[str, Any]:
    """Every SLO and group, worst first: budget left, burn of every window, outlook in words."""
    state = request.app.state
    return report.slos(state.store, state.slos, state.clock(), tenant)


@router.get("/slos/{name}/history")
def slo_history(request: Request, name: str, tenant: str | None = None) -> dict[str, Any]:
    """One SLO over its period, in steps: good, bad, burn, budget left."""
    state = request.app.state
    slo = next((s for s in state.slos if s.name == name), None)
    if slo is None:
        raise HTTPException(404, f"no SLO has this name; there are {', '.join(s.name for s in state.slos) or 'none'}")
    return report.history(state.store, slo, state.clock(), tenant)
