"""Posts alerts: Alertmanager's API v2 and webhooks of payload version 4. The only outbound I/O.

A configured address is resolved once, every address it resolves to must be allowed, and the connection
goes to the very address that was checked, so that a name cannot change its mind in between. Redirects are
not followed, proxies of the environment are not used, the whole exchange has one deadline. `http.client`
rather than a larger client: it lets us hand it the connected socket, and needs nothing installed.
"""

import contextlib
import hashlib
import hmac
import http.client
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, urlsplit

from analytics.alert_settings import AlertSettings, Target
from analytics.alerts import Alert, trial

SIGNATURE_HEADER = "X-Spanledger-Signature"
RETRYABLE = (408, 425, 429)
ZERO_TIME = "0001-01-01T00:00:00Z"  # what Alertmanager puts where a firing alert has no end yet
_ANSWER_BYTES = 2048
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Delivery:
    """How a post went: done, or not, and then whether trying again can help. `status`: of HTTP; 0: no answer."""

    ok: bool
    retryable: bool
    detail: str
    status: int = 0


def alertmanager_alert(alert: Alert, now_ns: int, resend_ns: int) -> dict[str, Any]:
    """The alert as Alertmanager's API v2 takes it; a firing one ends by itself unless it is sent again."""
    ends_ns = alert.resolved_ns if alert.resolved_ns is not None else now_ns + 4 * resend_ns
    return {
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": rfc3339(alert.firing_ns or alert.pending_ns),
        "endsAt": rfc3339(ends_ns),
        "generatorURL": alert.annotations.get("dashboard", ""),
    }


def webhook_payload(alert: Alert, receiver: str, page_url: str) -> dict[str, Any]:
    """One alert as a notification of Alertmanager's webhook, version 4."""
    status = "resolved" if alert.state == "resolved" else "firing"
    shown = {
        "status": status,
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": rfc3339(alert.firing_ns or alert.pending_ns),
        "endsAt": ZERO_TIME if alert.resolved_ns is None else rfc3339(alert.resolved_ns),
        "generatorURL": alert.annotations.get("dashboard", ""),
        "fingerprint": alert.fingerprint,
    }
    pairs = ", ".join(f"{name}={json.dumps(alert.labels[name])}" for name in sorted(alert.labels))
    return {
        "version": "4",
        "groupKey": f"{{}}:{{{pairs}}}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": receiver,
        "groupLabels": alert.labels,
        "commonLabels": alert.labels,
        "commonAnnotations": alert.annotations,
        "externalURL": page_url,
        "alerts": [shown],
    }


def send_trial(settings: AlertSettings, target: Target, now_ns: int) -> Delivery:
    """Post an alert about nothing, now and once, past the outbox: whether this target takes alerts."""
    alert = trial(target.name, now_ns)
    if target.kind == "webhook":
        return send_webhook(target, webhook_payload(alert, target.name, settings.page_url))
    return send_alertmanager(target, [alertmanager_alert(alert, now_ns, settings.resend_s * 10**9)])[0]


def send_alertmanager(target: Target, alerts: Sequence[dict[str, Any]]) -> list[Delivery]:
    """Post alerts to one replica, the outcome of each in order.

    Alertmanager answers 400 for the whole request if one alert is invalid: then each goes alone, so that
    the outcome of every alert is known and a bad one costs only itself.
    """
    outcome = post(target, encode(alerts), path="/api/v2/alerts")
    if outcome.status == http.HTTPStatus.BAD_REQUEST and len(alerts) > 1:
        return [post(target, encode([alert]), path="/api/v2/alerts") for alert in alerts]
    return [outcome] * len(alerts)


def send_webhook(target: Target, payload: dict[str, Any]) -> Delivery:
    """Post one notification; signed with HMAC-SHA256 over the body if the target has a secret."""
    body = encode(payload)
    headers = {}
    if target.secret:
        headers[SIGNATURE_HEADER] = "sha256=" + hmac.new(target.secret.encode(), body, hashlib.sha256).hexdigest()
    return post(target, body, headers=headers)


def post(target: Target, body: bytes, *, path: str = "", headers: dict[str, str] | None = None) -> Delivery:
    """POST a JSON body to the target and judge the answer. Never raises for what the other side does."""
    parts = urlsplit(target.url)
    sent = {"Content-Type": "application/json", "User-Agent": "spanledger", "Connection": "close", **(headers or {})}
    if target.token:
        sent["Authorization"] = f"Bearer {target.token}"
    try:
        status, text = _exchange(target, parts, parts.path.rstrip("/") + path, sent, body)
    except _RefusedError as e:
        return Delivery(False, False, str(e))
    except http.client.InvalidURL:
        return Delivery(False, False, "the path of url has characters that HTTP cannot carry")
    except (OSError, http.client.HTTPException) as e:
        return Delivery(False, True, f"no answer: {e or type(e).__name__}"[:300])
    except ValueError:
        return Delivery(False, False, "the host or the token has characters that HTTP cannot carry")
    detail = f"{status} {http.client.responses.get(status, '')}".strip() + (f": {text}" if text else "")
    if 300 <= status < 400:
        detail = f"{status}: redirects are not followed; configure the final address"
    ok = 200 <= status < 300
    return Delivery(ok, not ok and (status >= 500 or status in RETRYABLE), detail[:300], status)


def rfc3339(time_ns: int) -> str:
    """A time as both wire formats have it, in milliseconds."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ns // 10**6)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def encode(value: Any) -> bytes:
    """JSON as it goes over the wire."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class _RefusedError(Exception):
    """The address must not be connected to."""


def _exchange(target: Target, parts: SplitResult, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
    """One request to a checked address within `timeout_s`; status and the first of the answer."""
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    sock = _connect(checked_addresses(target, host, port), port, target.timeout_s)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        sock = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    # The time-out of a socket is per read: a peer that trickles is cut off by closing the socket under it.
    deadline = threading.Timer(target.timeout_s, _cut, [sock])
    deadline.daemon = True
    deadline.start()
    try:
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()
        connection = http.client.HTTPConnection(host, port, timeout=target.timeout_s)
        connection.sock = sock
        named = f"[{host}]" if ":" in host else host
        headers = {"Host": named if parts.port is None else f"{named}:{port}", **headers}
        query = f"?{parts.query}" if parts.query else ""
        connection.request("POST", (path or "/") + query, body, headers)
        response = connection.getresponse()
        return response.status, response.read(_ANSWER_BYTES).decode("utf-8", "replace").strip()
    finally:
        deadline.cancel()
        sock.close()


def _connect(addresses: Sequence[str], port: int, timeout_s: float) -> socket.socket:
    """A connection to the first address that takes one."""
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return socket.create_connection((address, port), timeout=timeout_s)
    return socket.create_connection((addresses[-1], port), timeout=timeout_s)


def _cut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # also under TLS, without a goodbye


def checked_addresses(target: Target, host: str, port: int) -> list[str]:
    """The addresses to connect to, at most three: all that the name resolves to must be public, or allowed.

    Loopback is allowed where the configured host itself says so. Raises OSError if the name does not
    resolve.
    """
    found = [ipaddress.ip_address(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in found:
        if not _allowed(target, host, _plain(address)):
            raise _RefusedError(
                f"refused: {host} is {address}, which is not a public address; "
                f"if that is meant, name its network in allow_networks of target {target.name}"
            )
    return [str(address) for address in dict.fromkeys(found)][:3]


def _plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 address carries (mapped, NAT64, 6to4), else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if carried := address.ipv4_mapped or address.sixtofour:
            return carried
        if address in ipaddress.ip_network("64:ff9b::/96"):
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _allowed(target: Target, host: str, address: Address) -> bool:
    if any(address in network for network in target.allow_networks):
        return True
    if any(address in network for network in _LOOPBACK):
        return host == "localhost" or host == str(address)
    return address.is_global and not address.is_multicast
