"""The overview: are runs succeeding, what did today cost, what loops now, how complete are these numbers."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from collector.store import Cursor, Store

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
PUSD = Decimal(10**12)

_STATUSES = "count(*) FILTER (status = 'ok') AS ok, count(*) FILTER (status = 'error') AS error, \
count(*) FILTER (status = 'stuck') AS stuck, count(*) FILTER (status = 'running') AS running, \
count(*) FILTER (status = 'incomplete') AS incomplete"

_MONEY = "sum(cost_pusd) AS cost_usd, sum(wasted_pusd) AS wasted_usd, \
count(*) FILTER (pricing = 'priced' AND kind = 'llm.call') AS priced_calls, \
count(*) FILTER (pricing = 'unpriced') AS unpriced_calls, count(*) FILTER (pricing = 'unknown') AS unknown_calls"

_RUNS_BY_HOUR = f"""
SELECT started_ns // {HOUR_NS} AS hour, {_STATUSES}
FROM runs WHERE started_ns >= $since AND started_ns <= $until AND ($tenant IS NULL OR tenant = $tenant)
GROUP BY hour ORDER BY hour
"""

_AGENTS = f"""
SELECT agent, count(*) AS runs, {_STATUSES}, sum(cost_pusd) AS cost_usd, sum(wasted_pusd) AS wasted_usd,
    sum(priced_calls) AS priced_calls, sum(unpriced_calls) AS unpriced_calls, sum(unknown_calls) AS unknown_calls
FROM runs WHERE started_ns >= $since AND started_ns <= $until AND ($tenant IS NULL OR tenant = $tenant)
GROUP BY agent ORDER BY sum((status IN ('error', 'stuck'))::INTEGER) DESC, runs DESC LIMIT 6
"""

_COST = f"""
SELECT {_MONEY} FROM calls JOIN call_groups USING (call_group)
WHERE start_ns >= $since AND start_ns < $until AND ($tenant IS NULL OR tenant = $tenant)
"""

_COST_BY_HOUR = f"""
SELECT (start_ns - $since) // {HOUR_NS} AS hour, sum(cost_pusd) AS cost_usd
FROM calls JOIN call_groups USING (call_group)
WHERE start_ns >= $since AND start_ns < $until AND ($tenant IS NULL OR tenant = $tenant)
GROUP BY hour
"""

_LOOPS = """
SELECT f.finding_id, f.run_id, f.agent, f.tenant, f.rule, f.severity, f.subject, f.occurrences,
    f.wasted_pusd AS wasted_usd, f.sentence, f.action, f.started_ns, f.ended_ns, r.status AS run_status
FROM findings f LEFT JOIN runs r USING (trace_hi, trace_lo, run_span)
WHERE f.ended_ns >= $since AND ($tenant IS NULL OR f.tenant = $tenant)
ORDER BY (r.status = 'running') DESC, f.wasted_pusd DESC, f.ended_ns DESC
"""

_STATE = """
SELECT
    (SELECT min(batch) FROM watermarks) AS done,
    (SELECT max(batch) FROM batches) AS arrived,
    (SELECT min(arrived_ns) FROM batches WHERE batch > (SELECT coalesce(min(batch), 0) FROM watermarks)) AS waiting_ns,
    (SELECT coalesce(sum(quarantined), 0) FROM runs
     WHERE started_ns >= $since AND ($tenant IS NULL OR tenant = $tenant)) AS quarantined
"""


def overview(store: Store, now_ns: int, tenant: str | None = None) -> dict[str, Any]:
    """What a person asks in the morning, in one answer.

    `runs`: statuses of today (UTC) and of yesterday until this time, `by_hour` for the last 24 hours.
    `cost`: today, yesterday until this time, all of yesterday; running totals by hour. `agents`: those with
    most failures today. `findings`: of the last 24 hours, worst first, with `wasted_usd` of all. `state`: whether
    anything ever arrived, how far the jobs are behind (`lag_ms`), and spans of today that are in no total.
    Money is a decimal string in USD, or None where there are calls and none is priced.
    """
    today = now_ns // DAY_NS * DAY_NS
    yesterday, this_time = today - DAY_NS, now_ns - DAY_NS
    hour = now_ns // HOUR_NS * HOUR_NS
    with store.cursor() as c:
        span = {"tenant": tenant}
        findings = _rows(c, _LOOPS, span | {"since": now_ns - DAY_NS})
        return {
            "runs": {
                "today": _total(_rows(c, _RUNS_BY_HOUR, span | {"since": today, "until": now_ns})),
                "yesterday": _total(_rows(c, _RUNS_BY_HOUR, span | {"since": yesterday, "until": this_time})),
                "by_hour": _every_hour(
                    _rows(c, _RUNS_BY_HOUR, span | {"since": hour - 23 * HOUR_NS, "until": now_ns}), hour
                ),
            },
            "cost": {
                "today": _rows(c, _COST, span | {"since": today, "until": now_ns + HOUR_NS})[0],
                "yesterday": _rows(c, _COST, span | {"since": yesterday, "until": this_time})[0],
                "all_yesterday": _rows(c, _COST, span | {"since": yesterday, "until": today})[0],
                "today_by_hour": _running(
                    c, span | {"since": today, "until": now_ns + HOUR_NS}, (now_ns - today) // HOUR_NS + 1
                ),
                "yesterday_by_hour": _running(c, span | {"since": yesterday, "until": today}, 24),
            },
            "agents": _rows(c, _AGENTS, span | {"since": today, "until": now_ns}),
            "findings": findings[:5],
            "finding_count": len(findings),
            "state": _state(c, now_ns, span | {"since": today}),
            "wasted_usd": _usd(sum(int(Decimal(f["wasted_usd"]) * PUSD) for f in findings)),
        }


def _rows(cursor: Cursor, query: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows as dicts; money leaves as decimal strings, other sums as whole numbers."""
    relation = cursor.sql(query, params={k: v for k, v in params.items() if f"${k}" in query})
    names = relation.columns
    return [dict(_edge(name, value) for name, value in zip(names, row, strict=True)) for row in relation.fetchall()]


def _edge(name: str, value: Any) -> tuple[str, Any]:
    """Money becomes a decimal string, nanoseconds an RFC 3339 time, any other sum a whole number."""
    if name.endswith("_usd"):
        return name, _usd(value)
    if name.endswith("_ns") and value is not None:
        return name.removesuffix("_ns") + "_at", f"{datetime.fromtimestamp(value / 1e9, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
    return name, int(value) if isinstance(value, Decimal) else value


def _state(cursor: Cursor, now_ns: int, params: dict[str, Any]) -> dict[str, Any]:
    done, arrived, waiting_ns, quarantined = cursor.sql(_STATE, params=params).fetchall()[0]
    behind = arrived is not None and (done is None or done < arrived)
    return {
        "empty": arrived is None,
        "lag_ms": max(0, now_ns - waiting_ns) / 1e6 if behind and waiting_ns is not None else 0,
        "quarantined": int(quarantined),
    }


def _usd(pusd: int | None) -> str | None:
    return None if pusd is None else f"{Decimal(pusd) / PUSD:f}"


def _total(hours: list[dict[str, Any]]) -> dict[str, Any]:
    """Statuses summed; `success`: share of ok among ok, error and stuck; None without such a run."""
    total = {s: sum(h[s] for h in hours) for s in ("ok", "error", "stuck", "running", "incomplete")}
    judged = total["ok"] + total["error"] + total["stuck"]
    return total | {"runs": sum(total.values()), "success": total["ok"] / judged if judged else None}


def _every_hour(hours: list[dict[str, Any]], last_ns: int) -> list[dict[str, Any]]:
    """One row for each of the 24 hours that end with the current one; `start_ns` is its beginning."""
    known = {h["hour"]: h for h in hours}
    empty = {"ok": 0, "error": 0, "stuck": 0, "running": 0, "incomplete": 0}
    starts = [last_ns - back * HOUR_NS for back in reversed(range(24))]
    return [empty | known.get(s // HOUR_NS, {}) | {"start_ns": s} for s in starts]


def _running(cursor: Cursor, params: dict[str, Any], hours: int) -> list[str]:
    """The cost since midnight at the end of each hour, in USD."""
    known = {row["hour"]: Decimal(row["cost_usd"] or 0) for row in _rows(cursor, _COST_BY_HOUR, params)}
    total, running = Decimal(0), []
    for hour in range(hours):
        total += known.get(hour, Decimal(0))
        running.append(f"{total:f}")
    return running
