"""The two servers that a recorded agent talks to: a fake model server that keeps the truth, and a sink for OTLP."""

import gzip
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.captures import texts
from tests.captures.plan import Usage, failure, next_step
from tests.captures.wires import WIRES, Reply

SECONDS_A_CALL = 0.03


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _send(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def _serving(handler: type[_Quiet]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@contextmanager
def model_server(scenario: str, log: list[dict[str, Any]]) -> Iterator[str]:
    """Serves all wires on loopback; `log` gets one entry a request, as it was answered. Yields its address."""
    lock, name = threading.Lock(), secrets.token_hex(6)

    class Model(_Quiet):
        def do_GET(self) -> None:
            self._send(200, b'{"object": "list", "data": [], "models": []}')

        def do_POST(self) -> None:
            sent = self._body()
            path = self.path.split("?")[0]
            wire = next((w for part, w in WIRES.items() if part in path), None)
            if wire is None or "count_tokens" in path:
                self._send(404, b'{"error": {"message": "there is nothing here", "type": "not_found_error"}}')
                return
            with lock:
                entry: dict[str, Any] = {"n": len(log) + 1, "api": wire.api}
                log.append(entry)
            request = wire.read(json.loads(sent), path)
            n = entry["n"]
            time.sleep(SECONDS_A_CALL)
            entry |= {"request_model": request.model, "stream": request.stream}
            if status := failure(scenario, n):
                entry["status"] = status
                error = {"message": f"the server refuses request {n}", "type": "invalid_request_error", "code": status}
                self._send(status, json.dumps({"type": "error", "error": error}).encode(), Retry_After="0")
                return
            step = texts.written(next_step(scenario, request), request)
            reply = Reply(n, name, request, step, Usage.of(n, wire.api))
            entry |= {"response_model": reply.model, "usage": vars(reply.usage), "usage_sent": request.wants_usage}
            entry |= {"tool": step.tool} if step.tool else {}
            if not request.stream:
                self._send(200, json.dumps(wire.whole(reply)).encode())
                return
            lines = [f"event: {name}\n" * bool(name) + f"data: {json.dumps(d)}\n\n" for name, d in wire.events(reply)]
            if wire.api == "chat":
                lines.append("data: [DONE]\n\n")
            self._send(200, "".join(lines).encode(), "text/event-stream")

    with _serving(Model) as address:
        yield address


@contextmanager
def sink(received: list[tuple[str, str, bytes]]) -> Iterator[str]:
    """Takes OTLP over HTTP; `received` gets signal, content type and body of each export. Yields its address."""

    class Sink(_Quiet):
        def do_POST(self) -> None:
            kind = self.headers.get("Content-Type", "").split(";")[0]
            received.append((self.path.rsplit("/", 1)[-1], kind, self._body()))
            self._send(200, b"{}" if kind.endswith("json") else b"", kind)

    with _serving(Sink) as address:
        yield address
