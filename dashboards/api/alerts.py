"""/api/v1/alerts: what fires and who was told; and the way back for Alertmanager's own notifications."""

import hmac
from typing import Any

import orjson
from fastapi import APIRouter, HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool

from analytics import notifications
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
