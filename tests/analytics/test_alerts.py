"""Alert rules and the state machine."""

from dataclasses import replace
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import alerts
from analytics.alerts import Alert, Signal, step
from analytics.slo import Pair, Slo
from tests.analytics.objectives import NOW_NS, SUCCESS

SECOND = 10**9
SLO = replace(
    SUCCESS,
    service="agents",
    group_by=("agent",),
    pairs=(Pair("page", 60, 5, 14.4, for_minutes=2), Pair("ticket", 1440, 120, 3)),
    team="agents",
    runbook_url="https://runbooks.example.com/x",
)


def test_fingerprint_is_alertmanagers() -> None:
    """The values that Alertmanager 0.25 shows for these labels."""
    assert alerts.fingerprint({"alertname": "a", "b": "c"}) == "fc6101df625cd9d2"
    assert alerts.fingerprint({"z": "1", "alertname": "a", "b": "ü…"}) == "4b20008f00b78019"


def test_a_signal_without_waiting_fires_at_once() -> None:
    """A new signal is told as firing, again is not told, gone is told as resolved."""
    signal = Signal({"alertname": "A"}, {"burn_rate": "1"})
    (fired,) = step([], [signal], 10).told
    assert (fired.state, fired.firing_ns, fired.resolved_ns) == ("firing", 10, None)

    assert step([fired], [signal], 20).written == []
    (changed,) = step([fired], [replace(signal, annotations={"burn_rate": "2"})], 20).written
    assert changed == replace(fired, annotations={"burn_rate": "2"})
    assert step([fired], [replace(signal, annotations={"burn_rate": "2"})], 20).told == []

    (resolved,) = step([fired], [], 30).told
    assert (resolved.state, resolved.firing_ns, resolved.resolved_ns) == ("resolved", 10, 30)


def test_a_signal_must_hold_before_it_fires() -> None:
    """With a waiting time an alert is pending first; it is dropped unseen if the signal ends meanwhile."""
    signal = Signal({"alertname": "A"}, {}, for_ns=60)
    (pending,) = step([], [signal], 10).written
    assert pending.state == "pending"
    assert step([], [signal], 10).told == []
    assert step([pending], [signal], 69).told == []
    assert step([pending], [], 69).dropped == [pending]

    (fired,) = step([pending], [signal], 70).told
    assert (fired.state, fired.pending_ns, fired.firing_ns) == ("firing", 10, 70)
    assert fired.alert_id == pending.alert_id


def test_a_new_episode_is_another_alert() -> None:
    """After it resolved, the same signal begins a new episode with the same fingerprint."""
    signal = Signal({"alertname": "A"}, {})
    (first,) = step([], [signal], 10).told
    (second,) = step([], [signal], 99).told

    assert first.fingerprint == second.fingerprint
    assert first.alert_id != second.alert_id


@given(st.lists(st.sets(st.sampled_from("abc")), max_size=12))
def test_told_states_alternate(history: list[set[str]]) -> None:
    """For every identity, what is told goes firing, resolved, firing ... and ends as the signals do."""
    open_alerts: dict[str, Alert] = {}
    told: dict[str, list[str]] = {}
    for now_ns, names in enumerate(history):
        moved = step(list(open_alerts.values()), [Signal({"alertname": n}, {}) for n in sorted(names)], now_ns)
        for alert in moved.told:
            told.setdefault(alert.labels["alertname"], []).append(alert.state)
        open_alerts |= {a.alert_id: a for a in moved.written}
        open_alerts = {k: a for k, a in open_alerts.items() if a.state != "resolved"}
    for name, states in told.items():
        assert states == [("firing", "resolved")[i % 2] for i in range(len(states))]
        assert (states[-1] == "firing") == (name in history[-1])


def _burn(slo: Slo = SLO, agent: str = "bot") -> list[Signal]:
    breaches = pl.DataFrame({"series": [1], "pair": [0], "long_burn": [16.2], "short_burn": [20.0]})
    period = pl.DataFrame({"series": [1], "labels": [f'{{"agent":"{agent}"}}'], "good": [990], "bad": [10]})
    return alerts.burn_signals(slo, breaches, period, "http://localhost:8080", NOW_NS)


def test_burn_alert_keeps_identity_in_labels_and_values_in_annotations() -> None:
    """Labels name what burns; burn, budget, words, runbook and page are annotations."""
    (signal,) = _burn()

    assert signal.labels == {
        "alertname": "SloBurn",
        "slo": "run-success",
        "pair": "1h/5m",
        "severity": "page",
        "team": "agents",
        "agent": "bot",
    }
    assert signal.for_ns == 120 * SECOND
    assert signal.annotations["burn_rate"] == "16.20"
    assert signal.annotations["budget_left"] == "80.0%"
    assert signal.annotations["outlook"] == "at this rate the budget is gone in 29 h"
    assert signal.annotations["objective"] == "95%"
    assert signal.annotations["dashboard"] == "http://localhost:8080/slos/run-success"
    assert signal.annotations["runbook_url"] == "https://runbooks.example.com/x"


def test_an_slos_own_severity_replaces_page() -> None:
    """severity of the SLO travels into the alerts of its paging pairs."""
    assert _burn(replace(SLO, severity="critical"))[0].labels["severity"] == "critical"
    tickets = replace(SLO, severity="critical", pairs=(Pair("ticket", 60, 5, 14.4),))
    assert _burn(tickets)[0].labels["severity"] == "ticket"


@pytest.mark.parametrize("name", ["\\u001b[31mred", "a\\u202eb", "x" * 400])
def test_names_of_emitters_are_inert(name: str) -> None:
    """Control characters and reordering marks never reach a label, and a name cannot grow without end."""
    (signal,) = _burn(agent=name)

    assert not set(signal.labels["agent"]) & {"\x1b", "\u202e"}
    assert len(signal.labels["agent"]) <= 128


def test_finding_alert_per_agent_rule_and_tenant() -> None:
    """A finding alert says how many, what it wasted and which run; an agent without a name has no label."""
    rows = pl.DataFrame(
        {
            "tenant": ["acme", "acme"],
            "agent": ["bot", None],
            "rule": ["loop", "loop"],
            "findings": [3, 1],
            "wasted_pusd": [1_250_000_000_000, 0],
            "run_id": ["ab", "cd"],
            "sentence": ["It called search 9 times.", "It called x 4 times."],
        }
    )
    named, unnamed = alerts.finding_signals(rows, "ticket", "http://h")

    assert named.labels == {
        "alertname": "AgentFindings",
        "rule": "loop",
        "severity": "ticket",
        "tenant": "acme",
        "agent": "bot",
    }
    assert named.annotations["summary"] == "bot: 3 loop findings, $1.2500 wasted"
    assert named.annotations["dashboard"] == "http://h/runs/ab"
    assert "agent" not in unnamed.labels
    assert unnamed.annotations["summary"] == "an unnamed agent: 1 loop finding, $0.0000 wasted"


def test_spend_alert_above_the_limit_only() -> None:
    """Exactly the limit is not above it; a tenant's own limit goes before that of all others."""
    usd = 10**12
    spent = [("a", "UTC", 50 * usd, 0), ("b", "Europe/Rome", 50 * usd + 1, 2), ("c", "UTC", 60 * usd, 0)]
    found = alerts.spend_signals(spent, {"*": Decimal(50), "c": Decimal(100)}, "ticket", "")

    assert [s.labels for s in found] == [{"alertname": "DailySpendExceeded", "tenant": "b", "severity": "ticket"}]
    assert "2 calls without a known price" in found[0].annotations["description"]
    assert "so far today (Europe/Rome)" in found[0].annotations["description"]
    assert alerts.spend_signals(spent, {}, "ticket", "") == []
