"""SLOs: error budgets, burn rates and what they mean, as last counted by the alerting."""

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from analytics import slo as maths
from analytics import slo_events
from analytics.reports.values import moment
from analytics.slo import MINUTE_NS, Slo
from collector.store import Store

_ORDER = ("exhausted", "burning", "ok", "no events", "not counted yet")


def slos(store: Store, definitions: Sequence[Slo], now_ns: int, tenant: str | None = None) -> dict[str, Any]:
    """One row an SLO and group, worst first.

    `items`, each: `slo, title, description, service, team, severity, runbook_url, objective, period, group`; over the
    period `events, good, bad, left_out, budget_left` (share; None: no events); `burn` over the shortest long
    window, `outlook` in words, `windows` (burn and counts of each), `pairs` (factor, both burns, whether
    they breach now) and `status`: exhausted, burning, ok, no events, not counted yet.
    `tenant`: only groups of that tenant.
    """
    with store.cursor() as cursor:
        windows = [(slo.name, w) for slo in definitions for w in (*slo.pair_windows, slo.period_minutes)]
        counts = slo_events.window_counts(cursor, windows, now_ns)
        counted = {row[0] for row in cursor.execute("SELECT slo FROM slo_definitions").fetchall()}
    rows = []
    for slo in definitions:
        burning = maths.burns(counts.filter(pl.col("slo") == slo.name), slo)
        breaches = set(maths.breaches(burning, slo).select("series", "pair").iter_rows())
        series = burning.partition_by("series", maintain_order=True)
        found = [_row(slo, frame.rows(named=True), breaches) for frame in series]
        rows += found or [_row(slo, [], set(), counted=slo.name in counted)]
    rows = [r for r in rows if tenant is None or r["group"].get("tenant") == tenant]
    return {"items": sorted(rows, key=_worst_first), "next_cursor": None, "as_of": moment(now_ns)}


def _worst_first(row: dict[str, Any]) -> tuple[int, float, str]:
    left = row["budget_left"]
    return _ORDER.index(row["status"]), 2.0 if left is None else left, row["slo"]


def _row(
    slo: Slo, windows: list[dict[str, Any]], breaches: set[tuple[int, int]], *, counted: bool = True
) -> dict[str, Any]:
    by_window = {w["window_minutes"]: w for w in windows}
    period = by_window.get(slo.period_minutes, {"good": 0, "bad": 0, "left_out": 0, "series": 0, "labels": "{}"})
    left = maths.budget_left(period["good"], period["bad"], slo.objective)
    burn = by_window[min(p.long_minutes for p in slo.pairs)]["burn"] if windows else None
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
    return {
        "slo": slo.name,
        "title": slo.title,
        "description": slo.description,
        "service": slo.service,
        "team": slo.team,
        "severity": slo.severity,
        "runbook_url": slo.runbook_url,
        "objective": slo.objective,
        "period": maths.minutes_text(slo.period_minutes),
        "group": json.loads(period["labels"]),
        "events": period["good"] + period["bad"],
        "good": period["good"],
        "bad": period["bad"],
        "left_out": period["left_out"],
        "budget_left": left,
        "burn": burn,
        "outlook": maths.outlook(left, burn, slo.period_minutes) if counted else "not counted yet",
        "status": _status(left, any(p["breaching"] for p in pairs), counted),
        "windows": [
            {"window": maths.minutes_text(m), **{k: w[k] for k in ("burn", "events", "bad")}}
            for m, w in by_window.items()
        ],
        "pairs": pairs,
    }


def _status(left: float | None, breaching: bool, counted: bool) -> str:
    if left is None:
        return "no events" if counted else "not counted yet"
    if left <= 0:
        return "exhausted"
    return "burning" if breaching else "ok"


_HISTORY = """
SELECT s.series, s.labels, (m.minute - $first) // $step AS bucket,
    sum(m.good)::BIGINT AS good, sum(m.bad)::BIGINT AS bad
FROM slo_minutes m JOIN slo_series s USING (series)
WHERE s.slo = $slo AND m.minute >= $first AND m.minute < $end
    AND ($tenant IS NULL OR s.labels->>'$.tenant' = $tenant)
GROUP BY ALL ORDER BY s.series, bucket
"""


def history(store: Store, slo: Slo, now_ns: int, tenant: str | None = None, points: int = 120) -> dict[str, Any]:
    """The period in `points` steps, for charts: one row a group and step that has events.

    `items`, each: `group, at` (end of the step, RFC 3339), `good, bad, burn` of the step and `budget_left` after it:
    the share of the whole period's budget that was not used up since the period began.
    """
    end = now_ns // MINUTE_NS + 1
    step = -(-slo.period_minutes // points)
    first = end - step * points
    with store.cursor() as cursor:
        counts = cursor.sql(
            _HISTORY, params={"first": first, "end": end, "step": step, "slo": slo.name, "tenant": tenant}
        ).pl()
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
