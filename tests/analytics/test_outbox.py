"""States and deliveries in the store: nothing is lost, nothing is sent for ever, and what happened can be seen."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from analytics import alerts, notifications, notify, outbox, slo_events
from analytics.alert_settings import AlertSettings, Target
from analytics.alerts import Signal
from analytics.evaluate import evaluate
from analytics.reports import alerts as report
from analytics.slo import MINUTE_NS, Pair
from collector.errors import Refused
from collector.settings import Settings
from collector.store import Store
from dashboards.app import Rules, create_app
from tests.analytics.objectives import SUCCESS
from tests.analytics.receivers import receiver
from tests.stores import empty_store
from tests.tables import call, finding, put, run

SECOND = 10**9
NOW_NS = 29_800_000 * MINUTE_NS + 17 * SECOND
A = Signal({"alertname": "A", "tenant": "acme"}, {"summary": "a"})
B = Signal({"alertname": "B"}, {"summary": "b"})
DEAD = "http://127.0.0.1:1"
SLO = replace(SUCCESS, group_by=("agent",), pairs=(Pair("page", 60, 5, 14.4),))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    found = empty_store(tmp_path / "s.duckdb")
    yield found
    found.close()


def _am(url: str, name: str = "am") -> Target:
    return Target(name, "alertmanager", url)


def _hook(url: str, name: str = "hook") -> Target:
    return Target(name, "webhook", url)


def _pass(store: Store, settings: AlertSettings, signals: list[Signal], now_ns: int) -> int:
    """One evaluation with given signals, and a delivery."""
    with store.transaction() as cursor:
        outbox.record(cursor, alerts.step(outbox.open_alerts(cursor), signals, now_ns), settings.targets, now_ns)
    return outbox.deliver(store, settings, now_ns)


def _deliveries(store: Store) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = report.deliveries(store, NOW_NS)["items"]
    return items


@pytest.mark.slow
def test_alertmanager_hears_again_and_again_and_of_the_end(store: Store) -> None:
    """Every replica: at once, each resend_s while firing, then resolved for five minutes, then silence."""
    with receiver() as one, receiver() as two:
        settings = AlertSettings(targets=(_am(one.url, "am0"), _am(two.url, "am1")))
        times = [s for s in range(0, 700, 5) if _pass(store, settings, [A] if s < 150 else [], NOW_NS + s * SECOND)]

    assert times == [0, 60, 120, 150, 210, 270, 330, 390, 450]
    assert one.bodies == two.bodies
    sent = [json.loads(b)[0] for b in one.bodies]
    assert {s["startsAt"] for s in sent} == {"2026-08-29T10:40:17.000Z"}
    assert sent[0]["endsAt"] == "2026-08-29T10:44:17.000Z"
    assert {s["endsAt"] for s in sent[3:]} == {"2026-08-29T10:42:47.000Z"}
    assert [(d["status"], d["state"], d["next_at"]) for d in _deliveries(store)] == [
        ("resolved", "delivered", None),
        ("resolved", "delivered", None),
        ("firing", "delivered", "2026-08-29T10:43:17.000000Z"),
        ("firing", "delivered", "2026-08-29T10:43:17.000000Z"),
    ]


def test_webhooks_hear_of_each_change_once(store: Store) -> None:
    """One message when it fires, one when it ends, none in between, in the version 4 shape."""
    with receiver() as hook:
        settings = AlertSettings(targets=(_hook(hook.url),))
        for s in range(0, 300, 5):
            _pass(store, settings, [A] if s < 150 else [], NOW_NS + s * SECOND)

    payloads = [json.loads(b) for b in hook.bodies]
    assert [(p["version"], p["status"], p["receiver"]) for p in payloads] == [
        ("4", s, "hook") for s in ("firing", "resolved")
    ]
    assert _deliveries(store)[0]["payload"] == hook.bodies[1].decode()


def test_what_was_raised_before_a_crash_is_delivered_after_it(tmp_path: Path) -> None:
    """The message is in the store with the change of state; another process on the same file sends it."""
    first = empty_store(tmp_path / "s.duckdb")
    with receiver() as hook:
        settings = AlertSettings(targets=(_hook(hook.url),))
        with first.transaction() as cursor:
            outbox.record(cursor, alerts.step([], [A], NOW_NS), settings.targets, NOW_NS)
        first._root.close()  # no checkpoint, no delivery: as after kill -9

        second = empty_store(tmp_path / "s.duckdb")
        with second.cursor() as cursor:
            assert [a.state for a in outbox.open_alerts(cursor)] == ["firing"]
        assert _pass(second, settings, [], NOW_NS + 3600 * SECOND) == 1
        assert _pass(second, settings, [], NOW_NS + 3601 * SECOND) == 1
        second.close()

    assert [json.loads(b)["status"] for b in hook.bodies] == ["firing", "resolved"]


def test_order_is_kept_while_a_target_is_down(store: Store) -> None:
    """Resolved never overtakes the firing message that is still being retried."""
    answers = iter([503, 503, 200, 200])
    with receiver(lambda _: next(answers)) as hook:
        settings = AlertSettings(targets=(_hook(hook.url),))
        for s in range(20):
            _pass(store, settings, [A] if s == 0 else [], NOW_NS + s * SECOND)

    assert [json.loads(b)["status"] for b in hook.bodies] == ["firing", "firing", "firing", "resolved"]


def test_a_firing_message_never_follows_the_end(store: Store) -> None:
    """Once resolved, Alertmanager is not sent the alert as firing again, which would raise it anew."""
    with receiver() as am:
        settings = AlertSettings(targets=(_am(am.url),))
        _pass(store, settings, [A], NOW_NS)
        for s in range(60, 400, 20):
            _pass(store, settings, [], NOW_NS + s * SECOND)

    ends = [json.loads(b)[0]["endsAt"] for b in am.bodies]
    assert len(set(ends[1:])) == 1


def test_retries_are_bounded_and_wait_longer_each_time(store: Store) -> None:
    """A dead webhook is tried a dozen times over rising pauses, then given up, visibly."""
    settings = AlertSettings(targets=(_hook(DEAD),))
    tried, now_ns = [NOW_NS], NOW_NS
    while True:
        _pass(store, settings, [A], now_ns)
        with store.cursor() as cursor:
            ((due_ns, open_ns),) = cursor.execute(
                "SELECT next_ns, open_until_ns FROM deliveries, alert_targets"
            ).fetchall()
        if due_ns is None:
            break
        now_ns = max(due_ns, open_ns)
        tried.append(now_ns)
    (row,) = _deliveries(store)
    pauses = [(b - a) / SECOND for a, b in itertools.pairwise(tried)]

    assert (len(tried), row["state"], row["attempts"], row["next_at"]) == (outbox.MAX_ATTEMPTS, "failed", 12, None)
    assert "refused" in row["detail"]
    assert pauses[0] < 2
    assert pauses[-1] > 200
    assert 600 < sum(pauses) < 3600


@pytest.mark.slow
def test_a_breaker_spares_a_dead_target_and_the_others_go_on(store: Store) -> None:
    """After five failures in a row a target is paused and shown as such, and closes again on the first success."""
    status = {"now": 503}
    with receiver() as good, receiver(lambda _: status["now"]) as flaky:
        settings = AlertSettings(targets=(_am(good.url, "good"), _am(flaky.url, "flaky")))
        for s in range(25):
            _pass(store, settings, [A], NOW_NS + s * SECOND)
        bad, shown = len(flaky.bodies), report.targets(store, settings.targets, NOW_NS + 24 * SECOND)["items"]
        status["now"] = 200
        for s in range(25, 110):
            _pass(store, settings, [A], NOW_NS + s * SECOND)
        healed = report.targets(store, settings.targets, NOW_NS + 109 * SECOND)["items"]

    assert bad == 5
    assert [(t["state"], t["failures"]) for t in shown] == [("ok", 0), ("paused", 5)]
    assert shown[1]["paused_until"]
    assert [t["state"] for t in healed] == ["ok", "ok"]
    assert len(good.bodies) == 2


def test_a_refused_alert_is_shown_and_its_neighbour_goes_on(store: Store) -> None:
    """An alert that Alertmanager calls invalid fails for good, with its answer; the other is re-sent."""
    with receiver(lambda body: 400 if b'"B"' in body else 200) as am:
        settings = AlertSettings(targets=(_am(am.url),))
        for s in (0, 5, 60, 65):
            _pass(store, settings, [A, B], NOW_NS + s * SECOND)

    assert {d["name"]: (d["state"], d["sent"]) for d in _deliveries(store)} == {
        "A": ("delivered", 2),
        "B": ("failed", 0),
    }
    assert next(d for d in _deliveries(store) if d["name"] == "B")["detail"].startswith("400")


def test_a_new_target_hears_of_what_still_fires(store: Store) -> None:
    """A replica that is configured later is told at the next pass."""
    _pass(store, AlertSettings(), [A], NOW_NS)
    with receiver() as am:
        _pass(store, AlertSettings(targets=(_am(am.url),)), [A], NOW_NS + 5 * SECOND)

    assert len(am.bodies) == 1


def test_evaluate_raises_burn_findings_and_spend(store: Store) -> None:
    """From rows to alerts: burn per agent, a loop, a tenant over its daily limit; gone when the rows are better."""
    settings = AlertSettings(daily_spend_usd={"*": Decimal(3)})
    with store.transaction() as cursor:
        put(cursor, "runs", [run(NOW_NS - n * SECOND, status="error" if n % 2 else "stuck") for n in range(12)])
        put(cursor, "runs", [run(NOW_NS - n * SECOND, agent="fine") for n in range(12)])
        put(cursor, "findings", [finding(NOW_NS - 60 * SECOND), finding(NOW_NS - 3 * 3600 * SECOND, agent="old")])
        put(cursor, "calls", [call(cursor, NOW_NS, "llm.call", cost_pusd=3 * 10**12 + 1)])
    first = evaluate(store, [SLO], settings, NOW_NS)
    again = evaluate(store, [SLO], settings, NOW_NS + 5 * SECOND)
    items = report.alerts(store, NOW_NS)["items"]

    assert (first.signals, first.told) == (3, 3)
    assert (again.signals, again.told) == (3, 0)
    assert {(i["name"], i["state"], i["labels"].get("agent"), i["labels"].get("tenant")) for i in items} == {
        ("SloBurn", "firing", "bot", None),
        ("AgentFindings", "firing", "bot", "acme"),
        ("DailySpendExceeded", "firing", None, "acme"),
    }
    assert [i["name"] for i in report.alerts(store, NOW_NS, "globex")["items"]] == []

    with store.transaction() as cursor:  # late spans: the runs succeeded after all
        cursor.execute("UPDATE runs SET status = 'ok'")
        slo_events.touch(cursor, [NOW_NS // MINUTE_NS])
    assert evaluate(store, [SLO], settings, NOW_NS + 10 * SECOND).told == 1
    assert evaluate(store, [SLO], settings, NOW_NS + 86_400 * SECOND).told == 2


def test_a_failed_evaluation_loses_no_touched_minute(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts, states and outbox change together or not at all."""
    evaluate(store, [SLO], AlertSettings(), NOW_NS)
    with store.transaction() as cursor:
        put(cursor, "runs", [run(NOW_NS, status="error") for _ in range(12)])
        slo_events.touch(cursor, [NOW_NS // MINUTE_NS])
    with monkeypatch.context() as broken, pytest.raises(RuntimeError):
        broken.setattr(outbox, "record", _fail)
        evaluate(store, [SLO], AlertSettings(), NOW_NS)

    assert evaluate(store, [SLO], AlertSettings(), NOW_NS).told == 1


def _fail(*_: Any) -> None:
    raise RuntimeError("as if the process died here")


def _payload(store: Store, target: Target, **changes: Any) -> dict[str, Any]:
    with store.cursor() as cursor:
        (alert,) = outbox.open_alerts(cursor)
    return notify.webhook_payload(alert, target.name, "") | changes


def test_notifications_are_idempotent_and_change_no_alert(store: Store) -> None:
    """The same notification twice is one; alerts stay as they are; the episode shows who was notified when."""
    _pass(store, AlertSettings(), [A], NOW_NS)
    payload = _payload(store, _hook(DEAD, "ops"))
    for s in (3, 9):
        assert notifications.receive(store, payload, NOW_NS + s * SECOND) == 1
    (item,) = report.alerts(store, NOW_NS)["items"]
    (told,) = report.notifications(store, NOW_NS)["items"]

    assert item["state"] == "firing"
    assert [n["text"] for n in item["notified"]] == ["receiver ops was notified at 2026-08-29T10:40:26.000000Z"]
    assert (told["first_at"], told["payload"]) == ("2026-08-29T10:40:20.000000Z", payload)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"version": "3"}, "version: must be"),
        ({"alerts": "x"}, "alerts: must be a list"),
        ({"alerts": [{}] * 1001}, "at most 1000"),
        ({"alerts": [{"status": "firing"}]}, r"alerts\[0\]: needs fingerprint"),
        ({"alerts": ["x"]}, r"alerts\[0\]"),
        ({"groupKey": 7}, "groupKey, status and receiver"),
    ],
)
def test_other_documents_are_refused(store: Store, changes: dict[str, Any], told: str) -> None:
    """What is not a version 4 payload is refused with the field at fault."""
    _pass(store, AlertSettings(), [A], NOW_NS)
    with pytest.raises(Refused, match=told):
        notifications.receive(store, _payload(store, _hook(DEAD), **changes), NOW_NS)
    assert report.notifications(store, NOW_NS)["items"] == []


def test_api(store: Store) -> None:
    """The API shows alerts and SLOs; its receiver wants a token, JSON, a bounded body and the right shape."""
    settings = AlertSettings(targets=(_am(DEAD),), webhook_token="t0ken")
    app = create_app(store, Settings(), rules=Rules((SLO,), settings), clock=lambda: NOW_NS)
    evaluate(store, [SLO], AlertSettings(), NOW_NS)
    _pass(store, AlertSettings(), [A], NOW_NS)
    body = json.dumps(_payload(store, _hook(DEAD, "ops")))
    auth, other = {"authorization": "Bearer t0ken"}, {"authorization": "Bearer other"}
    tries: list[tuple[str, dict[str, str]]] = [(body, {}), (body, other), ("{", auth), ("[" * 100_000, auth)]
    tries += [("{}", auth), (" " * 5_000_000, auth), (body, auth), (body, auth)]
    with TestClient(app, base_url="http://127.0.0.1") as client:
        posted = [client.post("/api/v1/alerts/webhook", content=c, headers=h).status_code for c, h in tries]
        (alert,) = client.get("/api/v1/alerts?state=firing").json()["items"]
        slos = client.get("/api/v1/slos").json()["items"]

    assert posted == [401, 401, 400, 400, 400, 400, 200, 200]
    assert [n["receiver"] for n in alert["notified"]] == ["ops"]
    assert [s["status"] for s in slos] == ["no events"]
    assert len(report.notifications(store, NOW_NS)["items"]) == 1
