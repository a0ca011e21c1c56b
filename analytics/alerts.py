"""What deserves an alert, and what becomes of it: pure rules and one state machine.

A rule turns what is true now into signals. `step` compares signals with the open alerts: pending until the
signal held for its `for` time, firing while it holds, resolved when it ends. Labels hold identity only,
because receivers tell alerts apart by their labels; everything that changes is an annotation.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import quote

import polars as pl

from analytics import slo as slos_of
from analytics.slo import MINUTE_NS, Slo

State = Literal["pending", "firing", "resolved"]

# Control characters and the marks that reorder text: names come from emitters and end up in chats and terminals.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_LABEL_LENGTH = 128
TRIAL = "SpanledgerTest"
"""The alertname of trials."""


@dataclass(frozen=True)
class Signal:
    """Something that is wrong now."""

    labels: dict[str, str]
    annotations: dict[str, str]
    for_ns: int = 0

    @property
    def fingerprint(self) -> str:
        """Identity of the alert."""
        return fingerprint(self.labels)


@dataclass(frozen=True)
class Alert:
    """One episode of a signal; the row of table `alerts`."""

    alert_id: str
    fingerprint: str
    state: State
    labels: dict[str, str]
    annotations: dict[str, str]
    pending_ns: int
    firing_ns: int | None = None
    resolved_ns: int | None = None


@dataclass(frozen=True)
class Step:
    """What one evaluation changed: alerts to write (new or changed), those among them whose state became
    firing or resolved and must be told, and pending ones that ended unseen."""

    written: list[Alert]
    told: list[Alert]
    dropped: list[Alert]


def fingerprint(labels: Mapping[str, str]) -> str:
    """Alertmanager's fingerprint of a label set: FNV-1a (64 bit) over sorted names and values, each followed
    by 0xff (prometheus/common model/signature.go), so that its notifications name our alerts."""
    value = 0xCBF29CE484222325
    for name in sorted(labels):
        for byte in name.encode() + b"\xff" + labels[name].encode() + b"\xff":
            value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def trial(target: str, now_ns: int) -> Alert:
    """An alert about nothing, to see whether a target takes one: it fires now, and nobody keeps it up."""
    labels = {"alertname": TRIAL, "severity": "none", "target": target}
    said = {"summary": "A test by spanledger: alerts reach you. Nothing is wrong.", "description": "It ends by itself."}
    return Alert(f"{fingerprint(labels)}-{now_ns}", fingerprint(labels), "firing", labels, said, now_ns, now_ns)


def step(open_alerts: Sequence[Alert], signals: Iterable[Signal], now_ns: int) -> Step:
    """Advance every alert. `open_alerts`: pending and firing ones."""
    present = {s.fingerprint: s for s in signals}
    written, told, dropped = [], [], []
    for alert in open_alerts:
        signal = present.pop(alert.fingerprint, None)
        if signal is None:
            if alert.state == "pending":
                dropped.append(alert)
            else:
                told.append(replace(alert, state="resolved", resolved_ns=now_ns))
        elif alert.state == "pending" and now_ns - alert.pending_ns >= signal.for_ns:
            told.append(replace(alert, state="firing", firing_ns=now_ns, annotations=signal.annotations))
        elif alert.annotations != signal.annotations:
            written.append(replace(alert, annotations=signal.annotations))
    for key, signal in present.items():
        alert = Alert(f"{key}-{now_ns:x}", key, "pending", signal.labels, signal.annotations, now_ns)
        if signal.for_ns:
            written.append(alert)
        else:
            told.append(replace(alert, state="firing", firing_ns=now_ns))
    return Step([*written, *told], told, dropped)


def burn_signals(slo: Slo, breaches: pl.DataFrame, period: pl.DataFrame, page_url: str, now_ns: int) -> list[Signal]:
    """Burn alerts of one SLO. `breaches`: of `slo.breaches`. `period`: its window counts over its period."""
    rows = breaches.join(period.select("series", "labels", "good", "bad"), on="series")
    return [_burn_signal(slo, row, page_url, now_ns) for row in rows.iter_rows(named=True)]


def _burn_signal(slo: Slo, row: dict[str, Any], page_url: str, now_ns: int) -> Signal:
    pair = slo.pairs[row["pair"]]
    group = {k: v for k, v in json.loads(row["labels"]).items() if v}
    severity = slo.severity if slo.severity and pair.severity == "page" else pair.severity
    left = slos_of.budget_left(row["good"], row["bad"], slo.objective)
    words = slos_of.outlook(left, row["short_burn"], slo, now_ns)
    of = f" for {', '.join(f'{k} {v}' for k, v in group.items())}" if group else ""
    annotations = {
        "summary": f"{slo.title}{of}: burning {row['short_burn']:.1f} times too fast",
        "description": f"Over {pair.name} the budget of {1 - slo.objective:.2%} burns {row['long_burn']:.1f} and "
        f"{row['short_burn']:.1f} times faster than it may ({pair.factor:g}); {words}.",
        "burn_rate": f"{row['long_burn']:.2f}",
        "budget_left": "none" if left is None else f"{left:.1%}",
        "outlook": words,
        "objective": f"{slo.objective * 100:.8g}%",
        "service": slo.service,
        "dashboard": f"{page_url}/slos/{slo.name}" if page_url else "",
        "runbook_url": slo.runbook_url or "",
    }
    identity = {"alertname": "SloBurn", "slo": slo.name, "pair": pair.name, "severity": severity}
    labels = identity | ({"team": slo.team} if slo.team else {}) | group
    return Signal(_inert(labels), _filled(annotations), pair.for_minutes * MINUTE_NS)


def finding_signals(findings: pl.DataFrame, severity: str, page_url: str) -> list[Signal]:
    """One alert per agent, rule and tenant with findings in the time looked at.

    `findings`: one row each with `tenant, agent, rule, findings, wasted_pusd, run_id, sentence` (of the last).
    """
    signals = []
    for row in findings.iter_rows(named=True):
        wasted = _usd(row["wasted_pusd"])
        labels = {"alertname": "AgentFindings", "rule": row["rule"], "severity": severity, "tenant": row["tenant"]}
        annotations = {
            "summary": f"{row['agent'] or 'an unnamed agent'}: {row['findings']} {row['rule']} "
            f"finding{'s' * (row['findings'] != 1)}, {wasted} wasted",
            "description": row["sentence"],
            "wasted_usd": wasted,
            "run_id": row["run_id"],
            "dashboard": f"{page_url}/runs/{quote(row['run_id'], safe='')}" if page_url else "",
        }
        signals.append(Signal(_inert(labels | {"agent": row["agent"] or ""}), _filled(annotations)))
    return signals


def spend_signals(
    spent: Sequence[tuple[str, str, int, int]], limits_usd: Mapping[str, Decimal], severity: str, page_url: str
) -> list[Signal]:
    """Tenants whose spend of the day is above their limit.

    `spent`: tenant, its time zone, 10^-12 USD, calls of unknown cost. `limits_usd`: by tenant; `*` for all others.
    """
    signals = []
    for tenant, zone, spent_pusd, unpriced in spent:
        limit = limits_usd.get(tenant, limits_usd.get("*"))
        if limit is None or spent_pusd <= limit * 10**12:
            continue
        more = f" and {unpriced} calls without a known price" if unpriced else ""
        annotations = {
            "summary": f"{tenant} spent {_usd(spent_pusd)} today, more than ${limit}",
            "description": f"The daily limit of tenant {tenant} is ${limit}; so far today ({zone}) it spent "
            f"{_usd(spent_pusd)}{more}.",
            "spent_usd": _usd(spent_pusd),
            "limit_usd": f"${limit}",
            "dashboard": f"{page_url}/cost?tenant={quote(tenant, safe='')}" if page_url else "",
        }
        labels = {"alertname": "DailySpendExceeded", "tenant": tenant, "severity": severity}
        signals.append(Signal(_inert(labels), _filled(annotations)))
    return signals


def _usd(pusd: int) -> str:
    return f"${Decimal(int(pusd)) / 10**12:,.4f}"


def _filled(texts: Mapping[str, str]) -> dict[str, str]:
    return {k: _INVISIBLE.sub("\ufffd", v) for k, v in texts.items() if v}


def _inert(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels without empty values (Alertmanager drops those), control characters and endless names."""
    return {k: v if len(v) <= _LABEL_LENGTH else v[: _LABEL_LENGTH - 1] + "…" for k, v in _filled(labels).items()}
