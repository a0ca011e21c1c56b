"""Alerts: what fires, what was told to whom, and what Alertmanager says that it passed on."""

import json
from collections.abc import Sequence
from typing import Any

from analytics.alert_settings import Target
from analytics.reports import listings
from analytics.reports.values import BadQuestion, moment
from collector.store import Store

_TENANT = "($tenant IS NULL OR a.labels->>'$.tenant' = $tenant)"
_ALERTS = f"""
SELECT alert_id, fingerprint, state, labels, annotations, pending_ns, firing_ns, resolved_ns
FROM alerts a WHERE ($state IS NULL OR state = $state) AND {_TENANT}
ORDER BY list_position(['firing', 'pending', 'resolved'], state),
    coalesce(resolved_ns, firing_ns, pending_ns) DESC, alert_id LIMIT $limit
"""
_DELIVERIES = f"""
SELECT d.alert_id, d.target, d.status, d.state, d.attempts, d.sent, d.created_ns, d.last_ns, d.next_ns, d.detail,
    d.payload, a.labels
FROM deliveries d JOIN alerts a USING (alert_id)
WHERE ($ids IS NULL OR list_contains($ids::VARCHAR[], d.alert_id)) AND {_TENANT}
ORDER BY coalesce(d.last_ns, d.created_ns) DESC, d.alert_id, d.target, d.status LIMIT $limit
"""
_NOTIFICATIONS = f"""
SELECT n.fingerprint, n.status, n.receiver, n.starts_at, n.first_ns, n.last_ns, n.payload
FROM notifications n
WHERE ($fingerprints IS NULL OR list_contains($fingerprints::VARCHAR[], n.fingerprint))
    AND ($tenant IS NULL OR EXISTS (FROM alerts a WHERE a.fingerprint = n.fingerprint AND {_TENANT}))
ORDER BY n.last_ns DESC, n.fingerprint LIMIT $limit
"""


STATES = ("pending", "firing", "resolved")


def alerts(
    store: Store, now_ns: int, tenant: str | None = None, state: str | None = None, limit: int = 200
) -> dict[str, Any]:
    """Episodes, firing ones first, then the latest.

    `items`, each: `alert_id, fingerprint, name, state, severity, summary, labels, annotations, pending_at,
    firing_at, resolved_at`, `deliveries` (as of the function of that name, without payload) and `notified`:
    what receivers were told of this episode, each with `receiver, status, at` and a `text` such as
    "receiver ops was notified at 2026-11-20T15:00:00.000000Z". Raises BadQuestion for a state that is none.
    """
    if state and state not in STATES:
        raise BadQuestion("state", f"{state!r} is not a state: use {', '.join(STATES)}")
    with store.cursor() as cursor:
        rows = listings.dicts(cursor, _ALERTS, {"tenant": tenant, "state": state, "limit": limit})
        ids, fingerprints = [r["alert_id"] for r in rows], [r["fingerprint"] for r in rows]
        sent = listings.dicts(cursor, _DELIVERIES, {"ids": ids, "tenant": tenant, "limit": 50_000})
        told = listings.dicts(cursor, _NOTIFICATIONS, {"fingerprints": fingerprints, "tenant": tenant, "limit": 50_000})
    return _answer([_alert(row, sent, told) for row in rows], now_ns)


def _alert(row: dict[str, Any], sent: list[dict[str, Any]], told: list[dict[str, Any]]) -> dict[str, Any]:
    labels, annotations = json.loads(row["labels"]), json.loads(row["annotations"])
    begin, end = row["firing_ns"], row["resolved_ns"]
    return {
        "alert_id": row["alert_id"],
        "fingerprint": row["fingerprint"],
        "name": labels["alertname"],
        "state": row["state"],
        "severity": labels.get("severity"),
        "summary": annotations.get("summary", ""),
        "labels": labels,
        "annotations": annotations,
        "pending_at": moment(row["pending_ns"]),
        "firing_at": _time(begin),
        "resolved_at": _time(end),
        "deliveries": [_delivery(d) for d in sent if d["alert_id"] == row["alert_id"]],
        "notified": [
            _notified(n)
            for n in told
            if n["fingerprint"] == row["fingerprint"]
            and begin is not None
            and n["starts_at"][:19] == moment(begin)[:19]
        ],
    }


def deliveries(store: Store, now_ns: int, tenant: str | None = None, limit: int = 200) -> dict[str, Any]:
    """Messages of the outbox, last tried first, each with the exact `payload` that was posted last.

    `items`, each: `alert_id, name, target, status` (firing, resolved), `state` (pending, delivered, failed),
    `attempts` since the last success, `sent` (times), `created_at, last_at, next_at, detail, payload`.
    """
    with store.cursor() as cursor:
        rows = listings.dicts(cursor, _DELIVERIES, {"ids": None, "tenant": tenant, "limit": limit})
    items = [
        _delivery(row) | {"name": json.loads(row["labels"])["alertname"], "payload": row["payload"]} for row in rows
    ]
    return _answer(items, now_ns)


def notifications(store: Store, now_ns: int, tenant: str | None = None, limit: int = 200) -> dict[str, Any]:
    """What was posted to our own receiver, latest first.

    `items`, each: `fingerprint, receiver, status, at, first_at, text, payload` (the exact document).
    """
    with store.cursor() as cursor:
        rows = listings.dicts(cursor, _NOTIFICATIONS, {"fingerprints": None, "tenant": tenant, "limit": limit})
    items = [
        _notified(r)
        | {"fingerprint": r["fingerprint"], "first_at": moment(r["first_ns"]), "payload": json.loads(r["payload"])}
        for r in rows
    ]
    return _answer(items, now_ns)


def targets(store: Store, configured: Sequence[Target], now_ns: int) -> dict[str, Any]:
    """Where alerts go; `items`, each: `name, kind, url, state` (untried, ok, failing, paused), `failures` in a row,
    `paused_until, last_ok_at, detail`."""
    with store.cursor() as cursor:
        known = {r["target"]: r for r in listings.dicts(cursor, "SELECT * FROM alert_targets")}
    return _answer([_target(target, known.get(target.name), now_ns) for target in configured], now_ns)


def _target(target: Target, row: dict[str, Any] | None, now_ns: int) -> dict[str, Any]:
    row = row or {"failures": 0, "open_until_ns": 0, "last_ok_ns": None, "detail": "nothing was sent yet"}
    paused = row["open_until_ns"] > now_ns
    state = "paused" if paused else "failing" if row["failures"] else "ok" if row["last_ok_ns"] else "untried"
    return {
        "name": target.name,
        "kind": target.kind,
        "url": target.url,
        "state": state,
        "failures": row["failures"],
        "paused_until": _time(row["open_until_ns"] if paused else None),
        "last_ok_at": _time(row["last_ok_ns"]),
        "detail": row["detail"],
    }


def _delivery(row: dict[str, Any]) -> dict[str, Any]:
    times = {f"{name}_at": _time(row[f"{name}_ns"]) for name in ("created", "last", "next")}
    plain = {k: row[k] for k in ("alert_id", "target", "status", "state", "attempts", "sent", "detail")}
    return plain | times


def _notified(row: dict[str, Any]) -> dict[str, Any]:
    at = moment(row["last_ns"])
    what = "" if row["status"] == "firing" else " that it is resolved"
    return {
        "receiver": row["receiver"],
        "status": row["status"],
        "at": at,
        "text": f"receiver {row['receiver']} was notified{what} at {at}",
    }


def _time(time_ns: int | None) -> str | None:
    return None if time_ns is None else moment(time_ns)


def _answer(items: list[dict[str, Any]], now_ns: int) -> dict[str, Any]:
    return {"items": items, "next_cursor": None, "as_of": moment(now_ns)}
