"""One pass of the alerting: counts, burn rates, findings and spend -> alert states -> outbox."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from analytics import alerts, maintenance, outbox, slo_events
from analytics import slo as burn_rates
from analytics.alert_settings import AlertSettings
from analytics.alerts import Signal
from analytics.maintenance import Maintenance
from analytics.slo import MINUTE_NS, Slo
from analytics.tenants import UTC, TimeZones
from collector.store import Cursor, Store

_FINDINGS = """
SELECT tenant, agent, rule, count(*) AS findings, sum(wasted_pusd)::BIGINT AS wasted_pusd,
    arg_max(run_id, (ended_ns, finding_id)) AS run_id, arg_max(sentence, (ended_ns, finding_id)) AS sentence
FROM findings WHERE ended_ns >= ? AND list_contains(?::VARCHAR[], rule) GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True)
class Evaluation:
    """What a pass found: signals that hold now, and alerts that began or ended to fire."""

    signals: int
    told: int


def evaluate(
    store: Store,
    slos: Sequence[Slo],
    settings: AlertSettings,
    now_ns: int,
    windows: Sequence[Maintenance] = (),
    zones: TimeZones = UTC,
) -> Evaluation:
    """Bring counts and alert states up to date and put what must be told in the outbox, all in one transaction.

    `windows`: planned maintenance, which is recorded as it changes; `zones`: whose clocks the days of tenants follow.
    To be run every few seconds, before `outbox.deliver`; never twice at once.
    """
    with store.transaction() as cursor:
        maintenance.record(cursor, windows, now_ns)
        slo_events.refresh(cursor, slos, now_ns, zones)
        signals = _burns(cursor, slos, settings, maintenance.planned(windows, slos), now_ns)
        signals += _others(cursor, settings, zones, now_ns)
        step = alerts.step(outbox.open_alerts(cursor), signals, now_ns)
        outbox.record(cursor, step, settings.targets, now_ns)
    return Evaluation(len(signals), len(step.told))


def _others(cursor: Cursor, settings: AlertSettings, zones: TimeZones, now_ns: int) -> list[Signal]:
    since_ns = now_ns - settings.finding_minutes * MINUTE_NS
    findings = cursor.sql(_FINDINGS, params=[since_ns, list(settings.finding_rules)]).pl()
    found = alerts.finding_signals(findings, settings.finding_severity, settings.page_url)
    if settings.daily_spend_usd:
        spent = slo_events.spend_today(cursor, zones, now_ns)
        found += alerts.spend_signals(spent, settings.daily_spend_usd, settings.spend_severity, settings.page_url)
    return found


def _burns(
    cursor: Cursor, slos: Sequence[Slo], settings: AlertSettings, planned: pl.DataFrame, now_ns: int
) -> list[Signal]:
    """The windows of the pairs are read every time, the whole period only for what breaches."""
    windows = [(slo.name, w) for slo in slos for w in slo.pair_windows]
    counts = slo_events.window_counts(cursor, windows, now_ns, planned)
    breaches = {
        slo: burn_rates.breaches(burn_rates.burns(counts.filter(pl.col("slo") == slo.name), slo), slo) for slo in slos
    }
    burning = {slo: frame for slo, frame in breaches.items() if not frame.is_empty()}
    periods = [(slo.name, slo.elapsed_minutes(now_ns)) for slo in burning]
    period = slo_events.window_counts(cursor, periods, now_ns, planned)
    return [
        signal
        for slo, frame in burning.items()
        for signal in alerts.burn_signals(
            slo, frame, period.filter(pl.col("slo") == slo.name), settings.page_url, now_ns
        )
    ]
