"""Settings: what is in force, and whether the parts are well."""

from dataclasses import fields
from typing import Any

from fastapi import APIRouter, Request, Response

from analytics.reports import listings
from analytics.reports.spans import count_spans
from collector.settings import Settings
from dashboards.pages.frame import respond

router = APIRouter(include_in_schema=False)


@router.get("/settings")
def page(request: Request) -> Response:
    """Every setting with its value; of a secret only whether it is set."""
    state = request.app.state
    with listings.reading(state.store) as c:
        lag = listings.currency(c, state.clock())["lag"]
    return respond(
        request,
        "settings.html",
        {},
        active="settings",
        rows=_rows(state.settings),
        lag=lag,
        spans=count_spans(state.store),
        bytes=state.store.path.stat().st_size + state.store.wal_bytes(),
        slos=len(state.slos),
        targets=len(state.alerts.targets),
        version=state.version,
        refused=state.refused,
    )


def _rows(settings: Settings) -> list[dict[str, Any]]:
    rows = []
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.metadata["secret"]:
            value = "set" if value else "not set"
        elif isinstance(value, tuple):
            value = ", ".join(value)
        rows.append({"name": field.name, "value": value, "help": field.metadata["help"]})
    return rows
