"""The door of pages and API: which host names are served, who may read and act, which headers every answer has."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from prometheus_client import Histogram
from starlette.responses import RedirectResponse, Response

from collector.errors import Forbidden, Unauthenticated
from collector.identity import Keys, is_loopback, key_of
from collector.telemetry import AUTH_FAILURES, REGISTRY
from dashboards.api.answers import problem

REQUEST_SECONDS = Histogram(
    "spanledger_api_request_seconds",
    "Time to answer a request to pages and API, by route.",
    ["route"],
    registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "spanledger"
SESSION_S = 12 * 3600
OPEN_PATHS = ("/healthz", "/readyz", "/login", "/api/v1/alerts/webhook")  # the last asks for a token of its own
OPEN_FOLDER = "/static/"

# What a key that is bound to a tenant may read, and nothing else: listings that take `tenant`, which is set to its own,
# and single runs, whose tenant their routes check.
TENANT_LISTINGS = re.compile(r"/api/v1/(runs|costs|findings|slos|alerts|reports|reports/focus)")
TENANT_RUNS = re.compile(r"/api/v1/runs/[^/]+(/spans)?")

# How audits name whoever acts: by what the door knows, never by an account of the machine. Without a server nobody has
# to show a key.
_ACTORS = {"local-token": "cli (local token)", "anonymous": "cli (no server)"}

HEADERS = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}


class Sessions:
    """Log-ins of people: signed cookies that expire, worthless after a restart. They read, they never act."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._key = secrets.token_bytes(32)
        self._clock = clock

    def open(self) -> str:
        """A cookie value for a person who showed a token."""
        until = str(int(self._clock()) + SESSION_S)
        return f"{until}.{self._sign(until)}"

    def holds(self, cookies: str) -> bool:
        """Whether a Cookie header holds a session that has not expired."""
        try:
            morsel = SimpleCookie(cookies).get(COOKIE)
        except CookieError:
            return False
        until, _, signature = (morsel.value if morsel else "").partition(".")
        known = hmac.compare_digest(signature.encode(), self._sign(until).encode())
        return known and until.isdecimal() and int(until) > self._clock()

    def _sign(self, until: str) -> str:
        return hmac.new(self._key, until.encode(), hashlib.sha256).hexdigest()


class Door:
    """Checks a request before `app` sees it. Reading needs a token only where one is set, acting always does.

    On loopback only its own names are served, so that a web page elsewhere cannot point its name at this server.
    """

    def __init__(self, app: App, keys: Keys, sessions: Sessions, host: str) -> None:
        self._app, self._keys, self._sessions = app, keys, sessions
        self._local_only = is_loopback(host)
        self._host = host.strip("[]").lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, headers = time.perf_counter(), dict[bytes, bytes](scope["headers"])
        entered = self._enter(scope, headers)
        refusal, scope = (entered, scope) if isinstance(entered, Response) else (None, entered)
        scope, receive, send = _dressed(scope, receive, send)
        try:
            await (refusal or self._app)(scope, receive, send)
        finally:
            route = getattr(scope.get("route"), "path", None) or "none"
            REQUEST_SECONDS.labels(route).observe(time.perf_counter() - began)

    def _enter(self, scope: Scope, headers: dict[bytes, bytes]) -> Response | Scope:
        """A refusal, or the request as it goes on: confined to a tenant where its key is."""
        host = headers.get(b"host", b"").decode("latin1").lower()
        if self._local_only and not self._own_name(host):
            return problem(421, "this host name is not served: use localhost or 127.0.0.1", field="Host")
        path = scope["path"]
        if path in OPEN_PATHS or path.startswith(OPEN_FOLDER):
            return scope
        acts = scope["method"] not in ("GET", "HEAD")
        if not acts and self._sessions.holds(headers.get(b"cookie", b"").decode("latin1")):
            return scope
        try:
            caller = self._keys.require(key_of(headers), "operate" if acts else "read")
        except Unauthenticated as e:
            AUTH_FAILURES.labels(e.code).inc()
            if not acts and b"text/html" in headers.get(b"accept", b""):
                query = scope["query_string"].decode("latin1")
                return RedirectResponse(f"/login?next={quote(path + ('?' + query if query else ''))}", 303)
            remedy = f"{e.reason}; on this machine it lies in server.json"
            return problem(401, remedy, headers={"WWW-Authenticate": "Bearer"})
        except Forbidden as e:
            AUTH_FAILURES.labels(e.code).inc()
            return problem(403, e.reason)
        if acts:
            scope = {**scope, "actor": _ACTORS.get(caller.name, f"api: {caller.name}")}
        return scope if caller.tenant is None else _confined(scope, caller.tenant)

    def _own_name(self, host: str) -> bool:
        name = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
        return is_loopback(name) or name.endswith(".localhost") or name == self._host


def _confined(scope: Scope, tenant: str) -> Response | Scope:
    """The request with `tenant` as its tenant. What could show another tenant's data is refused."""
    path = scope["path"]
    listing = TENANT_LISTINGS.fullmatch(path)
    if scope["method"] not in ("GET", "HEAD") or not (listing or TENANT_RUNS.fullmatch(path)):
        return problem(403, "this key is bound to a tenant: it reads runs, costs, findings, slos, alerts and reports")
    asked = parse_qsl(scope["query_string"].decode("latin1"), keep_blank_values=True)
    if any(name == "tenant" and value != tenant for name, value in asked):
        return problem(403, "this key is bound to another tenant: leave tenant out", field="tenant")
    if listing:
        asked = [(name, value) for name, value in asked if name != "tenant"] + [("tenant", tenant)]
    return {**scope, "tenant": tenant, "query_string": urlencode(asked).encode()}


def _dressed(scope: Scope, receive: Receive, send: Send) -> tuple[Scope, Receive, Send]:
    """The request with HEAD turned into GET, and `send` with the headers of every answer added."""
    is_head = scope["method"] == "HEAD"

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            added = [(name, value) for name, value in HEADERS.items() if name not in present]
            message = {**message, "headers": [*message["headers"], *added]}
        elif is_head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return ({**scope, "method": "GET"} if is_head else scope), receive, dressed
