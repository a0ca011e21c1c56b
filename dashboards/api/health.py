"""/healthz and /readyz: for supervisors."""

from dataclasses import asdict
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from analytics.reports.values import moment

router = APIRouter(tags=["health"])


@router.get("/healthz", response_model=dict[str, Any])
def get_health(request: Request) -> Response:
    """That the process is alive: status, version, uptime."""
    state = request.app.state
    uptime_s = round((state.clock() - state.started_ns) / 1e9, 3)
    return _json({"status": "ok", "version": state.version, "uptime_s": uptime_s, "start_id": state.start_id})


@router.get("/readyz", response_model=dict[str, Any])
def get_readiness(request: Request) -> Response:
    """Whether spans are accepted and stored right now; 503 with the reason if not."""
    reason: str | None = request.app.state.not_ready()
    body: dict[str, Any] = {"status": "ready"} if reason is None else {"status": "not ready", "reason": reason}
    if checked := request.app.state.self_check():
        body["self_check"] = asdict(checked) | {"at": moment(checked.at_ns)}
        del body["self_check"]["at_ns"]
    return _json(body, 200 if reason is None else 503)


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json", headers={"Cache-Control": "no-store"})
