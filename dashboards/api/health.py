"""/healthz, /readyz and /metrics: for supervisors and for Prometheus."""

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from collector.telemetry import REGISTRY

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
    body = {"status": "ready"} if reason is None else {"status": "not ready", "reason": reason}
    return _json(body, 200 if reason is None else 503)


@router.get("/metrics", response_class=Response)
def get_metrics() -> Response:
    """Counters of this process in Prometheus' text form."""
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json", headers={"Cache-Control": "no-store"})
