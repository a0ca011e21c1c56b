"""A real Alertmanager: alerts fire, are re-sent, resolve, survive both restarts, and their notifications come back."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import yaml
from fastapi import FastAPI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from analytics import alerts, notify, outbox, slo_events
from analytics.alert_settings import AlertSettings, Target
from analytics.alerts import Signal
from analytics.evaluate import evaluate
from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from analytics.reports import alerts as report
from analytics.slo import MINUTE_NS, Pair
from collector.identity import Credential
from collector.ingest import Ingest
from collector.store import Store
from dashboards.api.alerts import router
from tests.analytics.objectives import SUCCESS
from tests.stores import empty_store
from tests.tables import put, run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TOKEN = "receiver-token"
SLO = replace(SUCCESS, group_by=("agent",), pairs=(Pair("page", 60, 5, 14.4),), team="agents")
SILENCED = Signal({"alertname": "Quiet", "tenant": "acme"}, {"summary": "shh"})

Program = Callable[[str], Path]


class Alertmanager:
    """A process that can be killed and started again on the same port and storage."""

    def __init__(self, program: Program, folder: Path, config: dict[str, Any]) -> None:
        self.program, self.folder = program("alertmanager"), folder
        (folder / "am.yml").write_text(yaml.safe_dump(config))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        arguments = (
            f"--config.file={self.folder}/am.yml",
            f"--storage.path={self.folder}/am",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        )
        with (self.folder / "am.log").open("ab") as log:
            self.process = subprocess.Popen([self.program, *arguments], stdout=log, stderr=log)
        until(lambda: self.ask("/-/ready") is not None, (self.folder / "am.log").read_text)

    def kill(self) -> None:
        """End it at once."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """GET or POST; None where nobody answers."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                text = answer.read()
        except OSError:
            return None
        return json.loads(text) if text.startswith((b"[", b"{")) else text

    def alerts(self) -> dict[str, Any]:
        """What it holds, by alertname."""
        return {a["labels"]["alertname"]: a for a in self.ask("/api/v2/alerts") or []}


def until(
    holds: Callable[[], Any], otherwise: Callable[[], str] = str, *, step: Callable[[], Any] = lambda: None
) -> None:
    """Wait for something, 15 s at most, taking `step` in between."""
    end = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < end, otherwise()
        step()
        time.sleep(0.05)


@contextmanager
def _served(store: Store) -> Iterator[str]:
    """The API's alert routes on a free port; the address."""
    app = FastAPI()
    app.state.store, app.state.clock = store, time.time_ns
    app.state.alerts = AlertSettings(webhook_token=TOKEN)
    app.include_router(router)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    found = empty_store(tmp_path / "s.duckdb")
    yield found
    found.close()


@pytest.fixture
def alertmanager(tmp_path: Path, store: Store, program: Program) -> Iterator[Alertmanager]:
    """An Alertmanager that reports back what it sends."""
    with _served(store) as url:
        hook = {
            "url": f"{url}/api/v1/alerts/webhook",
            "send_resolved": True,
            "http_config": {"authorization": {"credentials": TOKEN}},
        }
        route = {
            "receiver": "ops",
            "group_by": ["alertname"],
            "group_wait": "100ms",
            "group_interval": "300ms",
            "repeat_interval": "1h",
        }
        found = Alertmanager(
            program, tmp_path, {"route": route, "receivers": [{"name": "ops", "webhook_configs": [hook]}]}
        )
        yield found
        found.kill()


def _settings(alertmanager: Alertmanager, resend_s: int = 60) -> AlertSettings:
    return AlertSettings(targets=(Target("am", "alertmanager", alertmanager.url),), resend_s=resend_s)


def _pass(store: Store, settings: AlertSettings) -> None:
    now_ns = time.time_ns()
    evaluate(store, [SLO], settings, now_ns)
    outbox.deliver(store, settings, now_ns)


def _write_runs(store: Store, status: str) -> None:
    """Twelve runs of this status within the last minutes replace all others, as the runs job does it."""
    now_ns = time.time_ns()
    with store.transaction() as cursor:
        cursor.execute("DELETE FROM runs")
        put(cursor, "runs", [run(now_ns - n * 10**9, status=status) for n in range(12)])
        slo_events.touch(cursor, [(now_ns - n * 10**9) // MINUTE_NS for n in range(12)])


def _raise(store: Store, settings: AlertSettings, signals: list[Signal]) -> None:
    with store.transaction() as cursor:
        now_ns = time.time_ns()
        outbox.record(cursor, alerts.step(outbox.open_alerts(cursor), signals, now_ns), settings.targets, now_ns)


def _told(store: Store) -> list[tuple[str, str]]:
    """(state, statuses that receivers were notified of) of each episode."""
    items = report.alerts(store, time.time_ns())["items"]
    return [(i["state"], " ".join(sorted(n["status"] for n in i["notified"]))) for i in items]


def test_a_trial_reaches_it(alertmanager: Alertmanager) -> None:
    """An alert about nothing is taken at once, and ends by itself."""
    outcome = notify.send_trial(AlertSettings(), Target("am", "alertmanager", alertmanager.url), time.time_ns())

    until(lambda: alerts.TRIAL in alertmanager.alerts())
    held = alertmanager.alerts()[alerts.TRIAL]
    assert (outcome.ok, outcome.status) == (True, 200)
    assert held["labels"]["severity"] == "none"
    assert held["endsAt"] > held["updatedAt"]


def test_fires_is_resent_survives_a_restart_and_resolves(store: Store, alertmanager: Alertmanager) -> None:
    """The whole life of a burn alert, as Alertmanager sees it and as it tells us."""
    settings = _settings(alertmanager, resend_s=1)
    _write_runs(store, "error")
    began = time.monotonic()
    _pass(store, settings)
    held = alertmanager.alerts()["SloBurn"]

    assert time.monotonic() - began < 2
    assert held["labels"] == {
        "alertname": "SloBurn",
        "slo": "run-success",
        "pair": "1h/5m",
        "severity": "page",
        "team": "agents",
        "agent": "bot",
    }
    (shown,) = report.alerts(store, time.time_ns())["items"]
    assert held["fingerprint"] == shown["fingerprint"]
    until(lambda: _told(store) == [("firing", "firing")])

    until(
        lambda: alertmanager.alerts()["SloBurn"]["updatedAt"] > held["updatedAt"], step=lambda: _pass(store, settings)
    )
    assert alertmanager.alerts()["SloBurn"]["startsAt"] == held["startsAt"]

    alertmanager.kill()
    alertmanager.start()
    until(lambda: "SloBurn" in alertmanager.alerts(), step=lambda: _pass(store, settings))

    _write_runs(store, "ok")
    _pass(store, settings)
    until(lambda: "SloBurn" not in alertmanager.alerts(), step=lambda: _pass(store, settings))
    until(lambda: _told(store) == [("resolved", "firing resolved")], lambda: str(_told(store)))


def _burning_runs(count: int) -> bytes:
    """An OTLP request: `count` runs of the agent `bot` that ended in an error just now."""
    now_ns, spans = time.time_ns(), []
    for n in range(1, count + 1):
        span = Span(trace_id=os.urandom(16), span_id=n.to_bytes(8, "big"), name="agent.run")
        span.start_time_unix_nano, span.end_time_unix_nano = now_ns - 2 * 10**9, now_ns - 10**9
        span.attributes.add(key="agent.name").value.string_value = "bot"
        span.status.code = Status.STATUS_CODE_ERROR
        spans.append(span)
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(spans)
    return request.SerializeToString()


def test_from_the_ack_to_alertmanager(store: Store, alertmanager: Alertmanager) -> None:
    """From the last bad span's acknowledgement to Alertmanager holding the alert: jobs every 0.5 s, evaluation
    every 5 s and delivery at once leave it well under 15 s."""
    settings = _settings(alertmanager)
    ingest, runner = Ingest(store, b"k" * 32), Runner(store, PriceBook.seeded(), time.time_ns)
    ingest.start()
    asyncio.run(ingest.accept("traces", _burning_runs(12), Credential("test", None, frozenset())))
    acknowledged = evaluated = time.monotonic()  # at worst an evaluation has just missed them

    def step() -> None:
        nonlocal evaluated
        runner.tick()
        if time.monotonic() - evaluated >= 5:
            evaluated = time.monotonic()
            _pass(store, settings)

    until(lambda: "SloBurn" in alertmanager.alerts(), step=step)
    asyncio.run(ingest.stop())

    assert time.monotonic() - acknowledged < 15
    with store.cursor() as cursor:
        assert cursor.execute("SELECT count(*) FROM touched_minutes").fetchone() == (0,)


_RAISE_AND_DIE = """
import os, signal, sys, time
from dataclasses import replace
from pathlib import Path
from analytics.alert_settings import AlertSettings, Target
from analytics.evaluate import evaluate
from collector.store import Store
from tests.peers.test_alertmanager import SLO
settings = AlertSettings(targets=(Target("am", "alertmanager", sys.argv[2]),))
evaluate(Store(Path(sys.argv[1])), [SLO], settings, time.time_ns())
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_between_the_commit_and_the_delivery(
    tmp_path_factory: pytest.TempPathFactory, alertmanager: Alertmanager
) -> None:
    """An alert whose process died before it could send it is delivered by the next one."""
    path = tmp_path_factory.mktemp("killed") / "s.duckdb"
    before = empty_store(path)
    _write_runs(before, "error")
    before.close()
    died = subprocess.run(
        [sys.executable, "-c", _RAISE_AND_DIE, path, alertmanager.url],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    assert alertmanager.alerts() == {}

    after = Store(path)
    outbox.deliver(after, _settings(alertmanager), time.time_ns())
    after.close()

    assert set(alertmanager.alerts()) == {"SloBurn"}


def test_an_invalid_alert_does_not_lose_the_others(store: Store, alertmanager: Alertmanager) -> None:
    """Alertmanager refuses one alert of a request; the others arrive and only that one is shown as failed."""
    settings = _settings(alertmanager)
    signals = [Signal({"alertname": n}, {}) for n in ("One", "Two")] + [Signal({"alertname": "Bad", "a-b": "x"}, {})]
    _raise(store, settings, signals)
    outbox.deliver(store, settings, time.time_ns())
    states = {d["name"]: d["state"] for d in report.deliveries(store, time.time_ns())["items"]}

    assert set(alertmanager.alerts()) == {"One", "Two"}
    assert states == {"One": "delivered", "Two": "delivered", "Bad": "failed"}


def test_a_silenced_alert_is_shown_as_not_notified(store: Store, alertmanager: Alertmanager) -> None:
    """While silenced it is delivered but nobody was notified; when the silence ends, the notification shows."""
    silence = {
        "matchers": [{"name": "alertname", "value": "Quiet", "isRegex": False}],
        "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2099-01-01T00:00:00Z",
        "createdBy": "test",
        "comment": "test",
    }
    silence_id = alertmanager.ask("/api/v2/silences", silence)["silenceID"]
    settings = _settings(alertmanager, resend_s=1)
    _raise(store, settings, [SILENCED])
    outbox.deliver(store, settings, time.time_ns())
    until(lambda: alertmanager.alerts()["Quiet"]["status"]["state"] == "suppressed")
    time.sleep(0.6)  # several group intervals
    (item,) = report.alerts(store, time.time_ns())["items"]

    assert [d["state"] for d in item["deliveries"]] == ["delivered"]
    assert item["notified"] == []

    alertmanager.ask(f"/api/v2/silence/{silence_id}", method="DELETE")
    until(lambda: _told(store) == [("firing", "firing")], step=lambda: outbox.deliver(store, settings, time.time_ns()))


def test_shipped_inhibition(tmp_path: Path, program: Program) -> None:
    """With the shipped rules a page silences the ticket and the slower page of the same budget, no other."""
    config = yaml.safe_load((ROOT / "deploy/alertmanager/alertmanager.yml").read_text())
    config["route"]["routes"] = []
    config["receivers"] = [{"name": "tickets"}]
    found = Alertmanager(program, tmp_path, config)

    def burn(pair: str, severity: str, agent: str) -> dict[str, Any]:
        return {"labels": {"alertname": "SloBurn", "slo": "s", "pair": pair, "severity": severity, "agent": agent}}

    sent = [burn("1h/5m", "page", "a"), burn("6h/30m", "page", "a"), burn("1d/2h", "ticket", "a")]
    sent += [burn("6h/30m", "page", "b"), burn("1d/2h", "ticket", "c")]
    loops = [{"labels": {"alertname": "AgentFindings", "rule": "loop", "agent": a}} for a in ("a", "c")]
    try:
        found.ask("/api/v2/alerts", sent + loops)

        def shown() -> set[tuple[str, str, str]]:
            held = [a for a in found.ask("/api/v2/alerts") if a["status"]["state"] != "suppressed"]
            return {(a["labels"]["alertname"], a["labels"].get("pair", ""), a["labels"]["agent"]) for a in held}

        expected = {("SloBurn", "1h/5m", "a"), ("SloBurn", "6h/30m", "b"), ("SloBurn", "1d/2h", "c")}
        until(lambda: shown() == expected | {("AgentFindings", "", "c")}, lambda: str(shown()))
    finally:
        found.kill()
