"""/api/v1/alerts: what fires and who was told; and the way back for Alertmanager's own notifications."""

import hmac
from typing import Any

import orjson
from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from analytics import notifications, notify
from analytics.alert_settings import AlertSettings
from analytics.reports.alerts import alerts
from analytics.reports.values import BadQuestion
from collector.errors import Refused
from collector.identity import key_of
from dashboards.api.answers import answer
from dashboards.api.questions import now_ns_of, store_of

router = APIRouter(prefix="/api/v1", tags=["alerts"])

MAX_PAYLOAD_BYTES = 4 << 20


@router.get("/alerts", response_model=dict[str, Any])
def get_alerts(request: Request, tenant: str | None = None, state: str | None = None) -> Response:
    """Alerts, firing ones first, each with its deliveries."""
    return answer(request, alerts(store_of(request), now_ns_of(request), tenant, state))


class Trial(BaseModel):
    """Which target to try."""

    model_config = ConfigDict(extra="forbid")

    target: str = Field(description="The name of a target of alerts.toml.")


@router.post("/alerts/test", response_model=dict[str, Any])
def post_trial(request: Request, asked: Trial) -> Response:
    """Post an alert about nothing to one target, at once, and tell how it went."""
    settings: AlertSettings = request.app.state.alerts
    target = next((target for target in settings.targets if target.name == asked.target), None)
    if target is None:
        names = ", ".join(target.name for target in settings.targets)
        known = f"there are {names}" if names else "alerts.toml of the data folder names none"
        raise BadQuestion("target", f"{asked.target!r} is not a target: {known}")
    outcome = notify.send_trial(settings, target, now_ns_of(request))
    told = {"target": target.name, "kind": target.kind, "url": target.url, "delivered": outcome.ok}
    return answer(request, told | {"detail": outcome.detail})


@router.post("/alerts/webhook", response_model=dict[str, int])
async def post_notification(request: Request) -> Response:
    """Alertmanager's webhook (payload version 4): shows that an alert really went out. Needs its own token."""
    token: str = request.app.state.alerts.webhook_token
    if not token or not hmac.compare_digest(key_of(dict(request.headers.raw)), token.encode()):
        remedy = "set webhook_token_env in alerts.toml" if not token else "send the webhook's token as Bearer"
        raise HTTPException(401, f"this webhook is closed: {remedy}", {"WWW-Authenticate": "Bearer"})
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_PAYLOAD_BYTES:
            raise BadQuestion("body", f"the body is larger than {MAX_PAYLOAD_BYTES} bytes: send fewer alerts at once")
    try:
        payload = orjson.loads(body)
        taken = await run_in_threadpool(notifications.receive, store_of(request), payload, now_ns_of(request))
    except orjson.JSONDecodeError:
        raise BadQuestion("body", "the body is not JSON: send Alertmanager's webhook payload") from None
    except Refused as e:
        raise BadQuestion("body", e.reason) from e
    return answer(request, {"alerts": taken})
