"""Posting alerts: payloads, what may be retried, and which addresses are never connected to."""

import hashlib
import hmac
import ipaddress
import json
import socket
import threading
import time
from typing import Any

import pytest

from analytics import notify
from analytics.alert_settings import Target
from analytics.alerts import Alert, fingerprint
from tests.analytics.receivers import receiver

T = 1_763_700_000_123_456_789
LABELS = {"alertname": "SloBurn", "slo": 'a"b', "tenant": "acme"}
FIRING = Alert("x-1", fingerprint(LABELS), "firing", LABELS, {"summary": "s", "dashboard": "http://h/d"}, T, T)
RESOLVED = Alert("x-1", fingerprint(LABELS), "resolved", LABELS, {"summary": "s"}, T, T, T + 10**9)


def _hook(url: str, **values: Any) -> Target:
    return Target("hook", "webhook", url, **values)


def test_alertmanager_alert() -> None:
    """A firing alert ends four re-sends from now, a resolved one when it resolved."""
    assert notify.alertmanager_alert(FIRING, T, 60 * 10**9) == {
        "labels": LABELS,
        "annotations": FIRING.annotations,
        "startsAt": "2025-11-21T04:40:00.123Z",
        "endsAt": "2025-11-21T04:44:00.123Z",
        "generatorURL": "http://h/d",
    }
    assert notify.alertmanager_alert(RESOLVED, T + 99 * 10**9, 60 * 10**9)["endsAt"] == "2025-11-21T04:40:01.123Z"


def test_webhook_payload_is_version_4() -> None:
    """Exactly the fields of Alertmanager's webhook, the zero time as end while firing."""
    payload = notify.webhook_payload(FIRING, "hook", "http://h")

    assert payload == {
        "version": "4",
        "groupKey": '{}:{alertname="SloBurn", slo="a\\"b", tenant="acme"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "hook",
        "groupLabels": LABELS,
        "commonLabels": LABELS,
        "commonAnnotations": FIRING.annotations,
        "externalURL": "http://h",
        "alerts": [
            {
                "status": "firing",
                "labels": LABELS,
                "annotations": FIRING.annotations,
                "startsAt": "2025-11-21T04:40:00.123Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://h/d",
                "fingerprint": FIRING.fingerprint,
            }
        ],
    }
    resolved = notify.webhook_payload(RESOLVED, "hook", "")
    assert (resolved["status"], resolved["alerts"][0]["endsAt"]) == ("resolved", "2025-11-21T04:40:01.123Z")


def test_webhook_is_signed_and_authorised() -> None:
    """The signature is HMAC-SHA256 of the very bytes sent; the token travels as a bearer."""
    with receiver() as hook:
        outcome = notify.send_webhook(_hook(hook.url + "/in?a=1", secret="s3cret", token="t0ken"), {"ü": 1})

    expected = hmac.new(b"s3cret", hook.bodies[0], hashlib.sha256).hexdigest()
    assert outcome == notify.Delivery(True, False, "200 OK: ok", 200)
    assert hook.headers[0]["x-spanledger-signature"] == f"sha256={expected}"
    assert hook.headers[0]["authorization"] == "Bearer t0ken"
    assert hook.headers[0]["host"] == f"127.0.0.1:{hook.port}"
    assert hook.paths == ["/in?a=1"]
    assert json.loads(hook.bodies[0]) == {"ü": 1}


@pytest.mark.parametrize(
    ("status", "ok", "retryable"),
    [
        *((200, True, False), (202, True, False), (302, False, False), (307, False, False), (400, False, False)),
        *((401, False, False), (404, False, False), (408, False, True), (429, False, True), (500, False, True)),
        (503, False, True),
    ],
)
def test_status_decides_what_is_retried(status: int, ok: bool, retryable: bool) -> None:
    """2xx is done, 408, 429 and 5xx are worth another try, all else is not; redirects are never followed."""
    with receiver(lambda _: status) as hook:
        outcome = notify.post(_hook(hook.url), b"{}")

    assert (outcome.ok, outcome.retryable) == (ok, retryable)
    assert len(hook.bodies) == 1
    assert str(status) in outcome.detail


def test_nobody_there_is_retryable() -> None:
    """A closed port and a name that does not resolve may work later."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        outcome = notify.post(_hook(f"http://127.0.0.1:{unused.getsockname()[1]}"), b"{}")
    assert (outcome.ok, outcome.retryable) == (False, True)

    outcome = notify.post(_hook("http://no-such-host.invalid"), b"{}")
    assert (outcome.ok, outcome.retryable) == (False, True)


def test_one_bad_alert_does_not_lose_the_others() -> None:
    """After a 400 for the whole request every alert goes alone, and only the bad one fails for good."""
    with receiver(lambda body: 400 if b"bad" in body else 200) as am:
        target = Target("am", "alertmanager", am.url + "/prefix/")
        outcomes = notify.send_alertmanager(target, [{"n": "a"}, {"n": "bad"}, {"n": "c"}])

    assert [(o.ok, o.retryable) for o in outcomes] == [(True, False), (False, False), (True, False)]
    assert set(am.paths) == {"/prefix/api/v2/alerts"}
    assert [len(json.loads(b)) for b in am.bodies] == [3, 1, 1, 1]


@pytest.mark.parametrize(
    "address",
    [
        *(
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "127.0.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *("::1", "fe80::1", "fd00:ec2::254", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1"),
        "2002:a00:1::",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a public-looking name resolves to: private, loopback and metadata addresses get no connection."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: _answers("93.184.215.14", address))
    monkeypatch.setattr(socket, "create_connection", _never)
    outcome = notify.post(_hook("http://hooks.example.com/x"), b"{}")

    assert (outcome.ok, outcome.retryable) == (False, False)
    assert "not a public address" in outcome.detail
    assert "allow_networks of target hook" in outcome.detail


def test_named_networks_are_allowed_and_the_checked_address_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its network allowed the connection goes to the address that was checked, resolved once."""
    asked: list[str] = []

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return _answers("127.0.0.1", port=port)

    with receiver() as hook:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        target = _hook(f"http://internal.example:{hook.port}", allow_networks=(ipaddress.ip_network("127.0.0.0/8"),))
        outcome = notify.post(target, b"{}")

    assert outcome.ok
    assert asked.count("internal.example") == 1
    assert hook.headers[0]["host"] == f"internal.example:{hook.port}"


def test_localhost_tries_all_its_addresses() -> None:
    """localhost may resolve to ::1 first while the receiver listens on 127.0.0.1 only."""
    with receiver() as hook:
        assert notify.post(_hook(f"http://localhost:{hook.port}"), b"{}").ok


def test_a_trickling_answer_is_cut_off() -> None:
    """A peer that sends a byte now and then cannot hold us longer than the time-out."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def trickle() -> None:
            peer, _ = server.accept()
            with peer:
                try:
                    while not stop.wait(0.1):
                        peer.sendall(b"H")
                except OSError:
                    pass

        thread = threading.Thread(target=trickle)
        thread.start()
        began = time.monotonic()
        outcome = notify.post(_hook(f"http://127.0.0.1:{server.getsockname()[1]}", timeout_s=0.5), b"{}")
        took = time.monotonic() - began
        stop.set()
        thread.join()

    assert (outcome.ok, outcome.retryable) == (False, True)
    assert took < 3


def test_a_token_that_cannot_be_sent_is_told() -> None:
    """A header value that HTTP cannot carry is an answer, not a crash."""
    with receiver() as hook:
        outcome = notify.post(_hook(hook.url, token="a\nb"), b"{}")
    assert (outcome.ok, outcome.retryable, hook.bodies) == (False, False, [])
    assert "a\nb" not in outcome.detail


def _answers(*addresses: str, port: int = 80) -> list[Any]:
    families = {4: socket.AF_INET, 6: socket.AF_INET6}
    return [(families[ipaddress.ip_address(a).version], socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses]


def _never(*_: Any, **__: Any) -> Any:
    raise AssertionError("connected")
