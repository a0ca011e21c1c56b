"""SLOs: error budgets, burn rates and what they mean, as last counted by the alerting."""

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from analytics import slo as maths
from analytics import slo_events
from analytics.maintenance import Maintenance, log_of, planned
from analytics.reports.values import moment
from analytics.slo import MINUTE_NS, Slo
from collector.store import Store

_ORDER = ("exhausted", "burning", "few events", "ok", "no events", "not counted yet")

_NO_VERDICT = {"few events": "too few events to judge by", "not counted yet": "not counted yet"}


def slos(
    store: Store,
    definitions: Sequence[Slo],
    now_ns: int,
    tenant: str | None = None,
    windows: Sequence[Maintenance] = (),
) -> dict[str, Any]:
    """One row an SLO and group, worst first.

    `items`, each: `slo, title, description, service, team, severity, runbook_url, objective, period, calendar` (whether
    the period follows one), `period_begins, period_ends, group`; over the period `events, good, bad, left_out,
    budget_left` (share; None: no events); `burn` over the shortest long window, `exhausted_in_s` (None: not before the
    period ends, or not known), `outlook` in words, `windows` (burn and counts of each), `pairs` (factor, both burns,
    whether they breach now) and `status`: exhausted, burning, ok, few events (the budget is spent, by fewer events than
    alerts ask for: `min_events`, `min_bad`), no events, not counted yet. None of these holds the events of planned
    maintenance: `with_maintenance` has `events, bad, budget_left, burn` of the period and the same window with them.
    `maintenance`: the `windows` that lie in one of the periods or are still to come.
    `tenant`: only groups of that tenant.
    """
    with store.cursor() as cursor:
        asked = {(slo.name, w) for slo in definitions for w in (*slo.pair_windows, slo.elapsed_minutes(now_ns))}
        counts = slo_events.window_counts(cursor, sorted(asked), now_ns, planned(windows, definitions))
        log = log_of(cursor)
        counted = {row[0] for row in cursor.execute("SELECT slo FROM slo_definitions").fetchall()}
    rows = []
    for slo in definitions:
        burning = maths.burns(counts.filter(pl.col("slo") == slo.name), slo)
        breaches = set(maths.breaches(burning, slo).select("series", "pair").iter_rows())
        series = burning.partition_by("series", maintain_order=True)
        found = [_row(slo, now_ns, frame.rows(named=True), breaches) for frame in series]
        rows += found or [_row(slo, now_ns, [], set(), counted=slo.name in counted)]
    rows = [r for r in rows if tenant is None or r["group"].get("tenant") == tenant]
    first = min((slo.period(now_ns)[0] for slo in definitions), default=0)
    return {
        "items": sorted(rows, key=_worst_first),
        "maintenance": [_maintenance(w, log) for w in windows if w.end_minute > first],
        "next_cursor": None,
        "as_of": moment(now_ns),
    }


def _maintenance(window: Maintenance, declared_ns: dict[Maintenance, int]) -> dict[str, Any]:
    """`declared_at`: when it was first seen; None: not yet. `afterwards`: it had begun by then."""
    at_ns = declared_ns.get(window)
    return {
        "from": moment(window.first_minute * MINUTE_NS),
        "to": moment(window.end_minute * MINUTE_NS),
        "reason": window.reason,
        "by": window.by or None,
        "slos": list(window.slos),
        "declared_at": None if at_ns is None else moment(at_ns),
        "afterwards": at_ns is not None and at_ns >= window.first_minute * MINUTE_NS,
    }


def _worst_first(row: dict[str, Any]) -> tuple[int, float, str]:
    left = row["budget_left"]
    return _ORDER.index(row["status"]), 2.0 if left is None else left, row["slo"]


_NOTHING: dict[str, Any] = dict.fromkeys(("good", "bad", "left_out", "planned_good", "planned_bad", "series"), 0)


def _row(
    slo: Slo, now_ns: int, windows: list[dict[str, Any]], breaches: set[tuple[int, int]], *, counted: bool = True
) -> dict[str, Any]:
    by_window = {w["window_minutes"]: w for w in windows}
    period = by_window.get(slo.elapsed_minutes(now_ns), _NOTHING | {"labels": "{}"})
    recent = by_window.get(min(p.long_minutes for p in slo.pairs), _NOTHING | {"burn": None})
    left, burn = maths.budget_left(period["good"], period["bad"], slo.objective), recent["burn"]
    begins, ends = slo.period(now_ns)
    minutes = maths.exhaustion_minutes(left, burn, slo, now_ns)
    pairs = [
        {
            "pair": pair.name,
            "severity": pair.severity,
            "factor": pair.factor,
            "long_burn": by_window[pair.long_minutes]["burn"] if windows else None,
            "short_burn": by_window[pair.short_minutes]["burn"] if windows else None,
            "breaching": (period["series"], index) in breaches,
        }
        for index, pair in enumerate(slo.pairs)
    ]
    status = _status(slo, period, left, any(p["breaching"] for p in pairs)) if counted else "not counted yet"
    return {
        "slo": slo.name,
        "title": slo.title,
        "description": slo.description,
        "service": slo.service,
        "team": slo.team,
        "severity": slo.severity,
        "runbook_url": slo.runbook_url,
        "objective": slo.objective,
        "period": slo.period_text,
        "calendar": slo.calendar is not None,
        "period_begins": moment(begins * MINUTE_NS),
        "period_ends": moment(ends * MINUTE_NS),
        "group": json.loads(period["labels"]),
        "events": period["good"] + period["bad"],
        "good": period["good"],
        "bad": period["bad"],
        "left_out": period["left_out"],
        "budget_left": left,
        "burn": burn,
        "exhausted_in_s": None if minutes is None else round(minutes * 60),
        "outlook": _NO_VERDICT.get(status) or maths.outlook(left, burn, slo, now_ns),
        "with_maintenance": _with_maintenance(slo, period, recent),
        "status": status,
        "windows": [
            {"window": name, **{k: by_window[m][k] for k in ("burn", "events", "bad")}}
            for m, name in (
                *((m, maths.minutes_text(m)) for m in slo.pair_windows),
                (slo.elapsed_minutes(now_ns), slo.period_text),
            )
            if m in by_window
        ],
        "pairs": pairs,
    }


def _with_maintenance(slo: Slo, period: dict[str, Any], recent: dict[str, Any]) -> dict[str, Any]:
    good, bad = (period[k] + period[f"planned_{k}"] for k in ("good", "bad"))
    recent_good, recent_bad = (recent[k] + recent[f"planned_{k}"] for k in ("good", "bad"))
    events = recent_good + recent_bad
    return {
        "events": good + bad,
        "bad": bad,
        "budget_left": maths.budget_left(good, bad, slo.objective),
        "burn": recent_bad / events / (1 - slo.objective) if events else None,
    }


def _status(slo: Slo, period: dict[str, Any], left: float | None, breaching: bool) -> str:
    if left is None:
        return "no events"
    if left <= 0 and not breaching:
        enough = period["good"] + period["bad"] >= slo.min_events and period["bad"] >= slo.min_bad
        return "exhausted" if enough else "few events"
    return "exhausted" if left <= 0 else "burning" if breaching else "ok"


_OLDEST = """
SELECT min(minute) FROM slo_minutes JOIN slo_series USING (series)
WHERE slo = $slo AND minute >= $first AND minute < $end AND ($tenant IS NULL OR labels->>'$.tenant' = $tenant)
"""
_HISTORY = """
SELECT series, labels, (minute - $first) // $step AS bucket, sum(good)::BIGINT AS good, sum(bad)::BIGINT AS bad
FROM slo_minutes JOIN slo_series USING (series)
WHERE slo = $slo AND minute >= $first AND minute < $end AND NOT ({planned})
    AND ($tenant IS NULL OR labels->>'$.tenant' = $tenant)
GROUP BY ALL ORDER BY series, bucket
"""


def history(
    store: Store,
    slo: Slo,
    now_ns: int,
    tenant: str | None = None,
    points: int = 120,
    windows: Sequence[Maintenance] = (),
) -> dict[str, Any]:
    """The period until now, or what of it has events, in `points` steps, for charts: one row a group and step that has
    events, those of planned maintenance left out.

    `items`, each: `group, at` (end of the step, RFC 3339), `good, bad, burn` of the step and `budget_left` after it:
    the share of the whole period's budget that was not used up since the period began.
    """
    end, elapsed = now_ns // MINUTE_NS + 1, slo.elapsed_minutes(now_ns)
    asked = {"slo": slo.name, "tenant": tenant, "end": end}
    with store.cursor() as cursor:
        ((oldest,),) = cursor.execute(_OLDEST, asked | {"first": end - elapsed}).fetchall()
        elapsed = elapsed if oldest is None else end - oldest
        step = -(-elapsed // points)
        first = end - (elapsed if slo.calendar else step * points)
        history_sql = _HISTORY.format(planned=slo_events.is_planned(cursor, planned(windows, [slo])))
        counts = cursor.sql(history_sql, params=asked | {"first": first, "step": step}).pl()
    allowed = (pl.col("good") + pl.col("bad")).sum().over("series") * (1 - slo.objective)
    counts = maths.burns(counts, slo).with_columns(
        budget_left=1 - pl.col("bad").cum_sum().over("series") / allowed,
    )
    items = [
        {
            "group": json.loads(row["labels"]),
            "at": moment((first + (row["bucket"] + 1) * step) * MINUTE_NS),
            **{k: row[k] for k in ("good", "bad", "burn", "budget_left")},
        }
        for row in counts.iter_rows(named=True)
    ]
    return {"items": items, "next_cursor": None, "as_of": moment(now_ns)}
