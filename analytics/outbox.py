"""Alert states and the durable outbox: what must be told is written with the change of state, and sent after.

A crash between the two loses nothing: the row is still due at the next start (at least once). For one
alert and target, messages go out in order. Firing alerts are sent to Alertmanagers again and again, since
these forget; webhooks hear of every change once.
"""

import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from analytics import notify
from analytics.alert_settings import AlertSettings, Target
from analytics.alerts import Alert, Step
from analytics.notify import Delivery
from collector.store import Cursor, Store

SECOND_NS = 10**9
RESOLVED_NS = 5 * 60 * SECOND_NS  # how long a resolved alert is re-sent to an Alertmanager
MAX_ATTEMPTS = 12  # of a webhook message: about 40 minutes
_FIRST_PAUSE_NS, _LONGEST_PAUSE_NS = SECOND_NS, 5 * 60 * SECOND_NS
_BREAKER_FAILURES, _BREAKER_PAUSE_NS = 5, 15 * SECOND_NS
_BATCH = {"alertmanager": 200, "webhook": 20}  # messages a pass

_ALERT = "alert_id, fingerprint, a.state, labels, annotations, pending_ns, firing_ns, resolved_ns"


@dataclass(frozen=True)
class Due:
    """A message that is to be sent now."""

    alert: Alert
    status: str
    attempts: int


@dataclass(frozen=True)
class Sent:
    """A message that was tried, and how it went."""

    due: Due
    outcome: Delivery
    payload: str


def open_alerts(cursor: Cursor) -> list[Alert]:
    """All pending and firing alerts."""
    rows = cursor.execute(f"SELECT {_ALERT} FROM alerts a WHERE state <> 'resolved'").fetchall()
    return [_alert(row) for row in rows]


def record(cursor: Cursor, step: Step, targets: Sequence[Target], now_ns: int) -> None:
    """Write changed alerts, and a message to every target about what fires or has just been resolved.

    To be called in one transaction. A target that is configured later hears of what still fires.
    """
    if replaced := [a.alert_id for a in (*step.written, *step.dropped)]:
        cursor.execute("DELETE FROM alerts WHERE list_contains(?::VARCHAR[], alert_id)", [replaced])
    for a in step.written:
        cursor.execute(
            "INSERT INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                *(a.alert_id, a.fingerprint, a.state, json.dumps(a.labels), json.dumps(a.annotations)),
                *(a.pending_ns, a.firing_ns, a.resolved_ns),
            ],
        )
    cursor.execute(
        """INSERT INTO deliveries
            SELECT a.alert_id, a.state, t.target, 'pending', $now, $now, 0, 0, NULL, 'not sent yet', NULL
            FROM alerts a, (SELECT unnest($targets::VARCHAR[]) AS target) t
            WHERE (a.state = 'firing' OR list_contains($resolved::VARCHAR[], a.alert_id))
            AND NOT EXISTS (FROM deliveries d
                WHERE d.alert_id = a.alert_id AND d.status = a.state AND d.target = t.target)""",
        {
            "now": now_ns,
            "targets": [t.name for t in targets],
            "resolved": [a.alert_id for a in step.told if a.state == "resolved"],
        },
    )


def deliver(store: Store, settings: AlertSettings, now_ns: int) -> int:
    """Send everything that is due, all targets at once, and write down how it went; how many were sent."""
    with store.cursor() as cursor:
        work = [(target, due(cursor, target, now_ns)) for target in settings.targets]
    work = [(target, messages) for target, messages in work if messages]
    if not work:
        return 0
    with ThreadPoolExecutor(len(work)) as pool:
        results = list(pool.map(partial(_send, settings, now_ns), work))
    with store.transaction() as cursor:
        for (target, _), tried in zip(work, results, strict=True):
            _settle(cursor, settings, target, tried, now_ns)
    return sum(sent.outcome.ok for tried in results for sent in tried)


def due(cursor: Cursor, target: Target, now_ns: int) -> list[Due]:
    """What a target is to be sent now, oldest first: not while its breaker is open, nothing about an alert
    before what came earlier about it, and no firing again once it is resolved."""
    rows = cursor.execute(
        f"""SELECT d.status, d.attempts, {_ALERT} FROM deliveries d JOIN alerts a USING (alert_id)
            WHERE d.target = $target AND d.next_ns <= $now
            AND (d.state = 'pending' OR d.status = a.state)
            AND NOT EXISTS (FROM alert_targets t WHERE t.target = $target AND t.open_until_ns > $now)
            AND NOT EXISTS (FROM deliveries e WHERE e.target = $target AND e.alert_id = d.alert_id
                AND e.state = 'pending' AND e.status = 'firing' AND d.status = 'resolved')
            ORDER BY d.created_ns, d.alert_id LIMIT {_BATCH[target.kind]}""",
        {"target": target.name, "now": now_ns},
    ).fetchall()
    return [Due(_alert(row[2:]), row[0], row[1]) for row in rows]


def _send(settings: AlertSettings, now_ns: int, work: tuple[Target, list[Due]]) -> list[Sent]:
    return _SENDERS[work[0].kind](settings, now_ns, *work)


def _to_alertmanager(settings: AlertSettings, now_ns: int, target: Target, messages: list[Due]) -> list[Sent]:
    alerts = [notify.alertmanager_alert(_as_of(m), now_ns, settings.resend_s * SECOND_NS) for m in messages]
    outcomes = notify.send_alertmanager(target, alerts)
    return [
        Sent(m, outcome, notify.encode([alert]).decode())
        for m, alert, outcome in zip(messages, alerts, outcomes, strict=True)
    ]


def _to_webhook(settings: AlertSettings, now_ns: int, target: Target, messages: list[Due]) -> list[Sent]:
    """One message at a time; a target that cannot answer now is left alone with the rest."""
    tried: list[Sent] = []
    for message in messages:
        payload = notify.webhook_payload(_as_of(message), target.name, settings.page_url)
        outcome = notify.send_webhook(target, payload)
        tried.append(Sent(message, outcome, notify.encode(payload).decode()))
        if outcome.retryable:
            break
    return tried


_SENDERS: dict[str, Callable[[AlertSettings, int, Target, list[Due]], list[Sent]]] = {
    "alertmanager": _to_alertmanager,
    "webhook": _to_webhook,
}


def _as_of(message: Due) -> Alert:
    """The alert as the message has it: an episode that is over by now was firing when that was to be told."""
    alert = message.alert
    if message.status == "firing" and alert.state == "resolved":
        return replace(alert, state="firing", resolved_ns=None)
    return alert


def _settle(cursor: Cursor, settings: AlertSettings, target: Target, tried: Sequence[Sent], now_ns: int) -> None:
    """Write outcomes and when to send again, and move the target's breaker."""
    for sent in tried:
        state, next_ns = _next(settings, target, sent, now_ns)
        cursor.execute(
            """UPDATE deliveries SET state = ?, next_ns = ?, attempts = ?, sent = sent + ?, last_ns = ?, detail = ?,
                payload = ? WHERE alert_id = ? AND status = ? AND target = ?""",
            [
                *(state, next_ns, 0 if sent.outcome.ok else sent.due.attempts + 1, int(sent.outcome.ok), now_ns),
                *(sent.outcome.detail, sent.payload, sent.due.alert.alert_id, sent.due.status, target.name),
            ],
        )
    reached = any(not s.outcome.retryable for s in tried)
    row = cursor.execute("SELECT failures, last_ok_ns FROM alert_targets WHERE target = ?", [target.name]).fetchone()
    failures, last_ok_ns = row or (0, None)
    failures = 0 if reached else failures + 1
    pause_ns = _BREAKER_PAUSE_NS * 2 ** min(failures - _BREAKER_FAILURES, 2) if failures >= _BREAKER_FAILURES else 0
    if any(s.outcome.ok for s in tried):
        last_ok_ns = now_ns
    cursor.execute("DELETE FROM alert_targets WHERE target = ?", [target.name])
    cursor.execute(
        "INSERT INTO alert_targets VALUES (?, ?, ?, ?, ?)",
        [target.name, failures, now_ns + pause_ns if pause_ns else 0, last_ok_ns, tried[-1].outcome.detail],
    )


def _next(settings: AlertSettings, target: Target, sent: Sent, now_ns: int) -> tuple[str, int | None]:
    """State of a message after a try, and when to send it next."""
    alert, outcome, resends = sent.due.alert, sent.outcome, target.kind == "alertmanager"
    over = alert.resolved_ns is not None and now_ns >= alert.resolved_ns + RESOLVED_NS
    if outcome.ok:
        again = resends and (alert.state == "firing" if sent.due.status == "firing" else not over)
        return "delivered", now_ns + settings.resend_s * SECOND_NS if again else None
    attempts = sent.due.attempts + 1
    if not outcome.retryable or (over if resends else attempts >= MAX_ATTEMPTS):
        return "failed", None
    pause_ns = min(_FIRST_PAUSE_NS * 2 ** min(attempts - 1, 20), _LONGEST_PAUSE_NS)
    if resends:
        pause_ns = min(pause_ns, settings.resend_s * SECOND_NS)
    jitter = random.Random(f"{alert.alert_id}{target.name}{attempts}").uniform(0.75, 1.25)  # the same after a crash
    return "pending", now_ns + int(pause_ns * jitter)


def _alert(row: tuple[object, ...]) -> Alert:
    alert_id, fingerprint, state, labels, annotations, *times = row
    return Alert(alert_id, fingerprint, state, json.loads(str(labels)), json.loads(str(annotations)), *times)  # type: ignore[arg-type]
