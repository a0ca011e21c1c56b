"""The self-check: a span of our own through our own OTLP port, and how long until a query finds it."""

import http.client
import json
import logging
import secrets
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from collector.dialects.engine import SELF_CHECK_SCOPE
from collector.store import Store

EVERY_S = 60.0
GIVE_UP_S = 10.0
LOOK_EVERY_S = 0.01

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checked:
    """How a check went. `ack_s`: from sending to the acknowledgement; `queryable_s`: from there until it was found."""

    ok: bool
    at_ns: int
    ack_s: float | None
    queryable_s: float | None
    detail: str


class SelfCheck:
    """Checks once a minute, in a thread of its own, until it is stopped; `last` is the latest result."""

    def __init__(self, store: Store, otlp_http: str, token: str) -> None:
        self.last: Checked | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(store, otlp_http, token), name="self_check", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self, store: Store, otlp_http: str, token: str) -> None:
        while not self._stop.is_set():
            checked = check(store, otlp_http, token, time.time_ns(), self._stop)
            if not self._stop.is_set():
                self.last = checked
            self._stop.wait(EVERY_S)


def check(store: Store, otlp_http: str, token: str, now_ns: int, stop: threading.Event) -> Checked:
    """Send a span to the OTLP/HTTP address and wait until the store has it. It is in no count and no total."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    began = time.perf_counter()
    try:
        status = _send(otlp_http, token, _request(trace_id, span_id, now_ns))
    except (OSError, http.client.HTTPException) as e:
        return _failed(now_ns, None, f"the OTLP port did not answer: {type(e).__name__}")
    acknowledged = time.perf_counter()
    ack_s = acknowledged - began
    if status != 200:
        return _failed(now_ns, ack_s, f"the OTLP port answered {status}")
    while not _is_stored(store, trace_id, span_id, now_ns):
        if time.perf_counter() - acknowledged > GIVE_UP_S:
            return _failed(now_ns, ack_s, f"an acknowledged span was not found within {GIVE_UP_S:.0f} s")
        if stop.wait(LOOK_EVERY_S):
            return Checked(False, now_ns, ack_s, None, "the server is stopping")
    return Checked(True, now_ns, ack_s, time.perf_counter() - acknowledged, "sent, acknowledged and found")


def _request(trace_id: str, span_id: str, now_ns: int) -> bytes:
    times = {"startTimeUnixNano": str(now_ns), "endTimeUnixNano": str(now_ns)}
    span = {"traceId": trace_id, "spanId": span_id, "name": "self_check", "kind": 1, **times}
    spans = {"scope": {"name": SELF_CHECK_SCOPE}, "spans": [span]}
    service = {"key": "service.name", "value": {"stringValue": "spanledger"}}
    return json.dumps({"resourceSpans": [{"resource": {"attributes": [service]}, "scopeSpans": [spans]}]}).encode()


def _send(otlp_http: str, token: str, body: bytes) -> int:
    connection = http.client.HTTPConnection(urlsplit(otlp_http).netloc, timeout=GIVE_UP_S)
    try:
        headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
        connection.request("POST", "/v1/traces", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def _is_stored(store: Store, trace_id: str, span_id: str, now_ns: int) -> bool:
    with store.cursor() as c:
        found = c.execute(
            "SELECT 1 FROM span_log WHERE batch >= ? AND trace_hi = ? AND trace_lo = ? AND span_id = ?",
            [now_ns // 10**6 - 60_000, int(trace_id[:16], 16), int(trace_id[16:], 16), int(span_id, 16)],
        )
        return found.fetchone() is not None


def _failed(now_ns: int, ack_s: float | None, detail: str) -> Checked:
    log.warning("the self-check failed", extra={"detail": detail})
    return Checked(False, now_ns, ack_s, None, detail)
