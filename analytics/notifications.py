"""What receivers are told: notifications that Alertmanager, or our own webhook, posts back to us.

They change nothing about alerts; they only show that a message really went out, to whom and when.
"""

import hashlib
import json
import threading
from typing import Any

from collector.errors import Refused
from collector.store import Store

MAX_ALERTS = 1000
_STATUSES = ("firing", "resolved")
_ONE_AT_A_TIME = threading.Lock()


def receive(store: Store, payload: Any, now_ns: int) -> int:
    """Keep one notification of payload version 4; how many alerts it names.

    The same notification (group key, status, fingerprints and their starts) again only moves `last_ns`.
    Raises Refused naming the field where it is not such a payload.
    """
    key, receiver, alerts = _read(payload)
    text = json.dumps(payload, ensure_ascii=False)
    with _ONE_AT_A_TIME, store.transaction() as cursor:
        known = cursor.execute("SELECT min(first_ns) FROM notifications WHERE notification = ?", [key]).fetchone()
        first_ns = now_ns if known is None or known[0] is None else known[0]
        cursor.execute("DELETE FROM notifications WHERE notification = ?", [key])
        for fingerprint, status, starts_at in alerts:
            cursor.execute(
                "INSERT INTO notifications VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [key, fingerprint, status, receiver, starts_at, first_ns, now_ns, text],
            )
    return len(alerts)


def _read(payload: Any) -> tuple[str, str, list[tuple[str, str, str]]]:
    """Identity, receiver and (fingerprint, status, start) of the alerts of a payload."""
    if not isinstance(payload, dict) or payload.get("version") != "4":
        raise Refused('version: must be "4", the payload of an Alertmanager webhook')
    rows = payload.get("alerts")
    if not isinstance(rows, list) or len(rows) > MAX_ALERTS:
        raise Refused(f"alerts: must be a list of at most {MAX_ALERTS}; set max_alerts in webhook_configs")
    found = []
    for i, row in enumerate(rows):
        alert = row if isinstance(row, dict) else {}
        texts = [alert.get(name) for name in ("fingerprint", "status", "startsAt")]
        if not all(isinstance(t, str) and 0 < len(t) <= 64 for t in texts) or texts[1] not in _STATUSES:
            raise Refused(f"alerts[{i}]: needs fingerprint, status (firing or resolved) and startsAt")
        found.append((str(texts[0]), str(texts[1]), str(texts[2])))
    identity = [payload.get("groupKey"), payload.get("status"), payload.get("receiver"), sorted(found)]
    if not all(isinstance(part, str) for part in identity[:3]):
        raise Refused("groupKey, status and receiver: must be texts")
    digest = hashlib.blake2b(json.dumps(identity).encode(), digest_size=16).hexdigest()
    return digest, str(payload["receiver"]), found
