"""`/alerts`: what fires, what was delivered where, and the receiver of Alertmanager's own notifications."""

import hmac
import json
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from starlette.concurrency import run_in_threadpool

from analytics import notifications
from analytics.reports import alerts as report
from collector.errors import Refused

router = APIRouter(tags=["alerts"])
MAX_BODY_BYTES = 1 << 20


@router.get("/alerts")
def list_alerts(request: Request, tenant: str | None = None, state: str | None = None) -> dict[str, Any]:
    """Alerts with their deliveries and what receivers were told, firing ones first."""
    app = request.app.state
    return report.alerts(app.store, app.clock(), tenant, state)


@router.get("/alerts/deliveries")
def list_deliveries(request: Request, tenant: str | None = None) -> dict[str, Any]:
    """The outbox: every message, its state and the exact payload that was posted last."""
    app = request.app.state
    return report.deliveries(app.store, app.clock(), tenant)


@router.get("/alerts/notifications")
def list_notifications(request: Request, tenant: str | None = None) -> dict[str, Any]:
    """What was posted to the receiver below."""
    app = request.app.state
    return report.notifications(app.store, app.clock(), tenant)


@router.get("/alerts/targets")
def list_targets(request: Request) -> dict[str, Any]:
    """Where alerts go and whether that works."""
    app = request.app.state
    return report.targets(app.store, app.alerts.targets, app.clock())


@router.post("/alerts/webhook", status_code=200)
async def receive_notification(request: Request) -> dict[str, int]:
    """Take an Alertmanager notification (payload version 4); needs `Authorization: Bearer` with the token of
    `webhook_token_env` in alerts.toml. It changes only what is shown as delivered, and may come twice."""
    app = request.app.state
    _authorise(request, app.alerts.webhook_token)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"the notification exceeds {MAX_BODY_BYTES} bytes: set max_alerts")
    try:
        payload = json.loads(bytes(body))
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is not JSON") from None
    try:
        named = await run_in_threadpool(notifications.receive, app.store, payload, app.clock())
    except Refused as e:
        raise HTTPException(400, e.reason) from None
    return {"alerts": named}


def _authorise(request: Request, token: str) -> None:
    if not token:
        raise HTTPException(403, "no token is set for this receiver: set webhook_token_env in alerts.toml")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise HTTPException(401, "send the receiver's token as Authorization: Bearer TOKEN")
