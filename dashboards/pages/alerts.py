"""Alerts: what fires, what was sent where, and whether it really went out."""

import json
from typing import Any

from fastapi import APIRouter, Request, Response

from analytics.reports.alerts import alerts, deliveries, targets
from dashboards.pages.frame import Table, respond

router = APIRouter(include_in_schema=False)

COLUMNS = {
    name: name for name in ("name", "state", "severity", "summary", "pending_at", "firing_at", "resolved_at", "labels")
}
EXAMPLE = """[[targets]]
name = "alertmanager"
kind = "alertmanager"
url = "http://127.0.0.1:9093"
allow_networks = ["127.0.0.0/8"]"""


@router.get("/alerts")
def page(request: Request) -> Response:
    """Episodes, deliveries and targets."""
    state = request.app.state
    store, now_ns = state.store, state.clock()
    items = alerts(store, now_ns, state=request.query_params.get("state") or None)["items"]
    rows = [item | {"labels": json.dumps(item["labels"], ensure_ascii=False)} for item in items]
    return respond(
        request,
        "alerts.html",
        {"alerts": Table("Alerts", COLUMNS, rows)},
        active="alerts",
        alerts=items,
        deliveries=[_readable(d) for d in deliveries(store, now_ns, limit=50)["items"]],
        targets=targets(store, state.alerts.targets, now_ns)["items"],
        example=EXAMPLE,
    )


def _readable(delivery: dict[str, Any]) -> dict[str, Any]:
    """The payload indented, as it was posted where it is not JSON."""
    payload = delivery["payload"]
    try:
        return delivery | {"payload": json.dumps(json.loads(payload), indent=2, ensure_ascii=False)}
    except (TypeError, ValueError):
        return delivery | {"payload": payload or ""}
