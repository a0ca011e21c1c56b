"""The overview: are runs succeeding, what did today cost, what loops now, how complete are these numbers."""

from collections import defaultdict
from typing import Any

from analytics import cost_bins
from analytics.owned_calls import name_owners
from analytics.reports import listings
from analytics.reports.values import moment, usd
from collector.store import Cursor, Store

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
STATUSES = ("ok", "error", "stuck", "running", "incomplete")
COUNTS = ("priced_calls", "unpriced_calls", "unknown_calls")

Row = dict[str, Any]


def overview(store: Store, now_ns: int, tenant: str | None = None) -> Row:
    """What a person asks in the morning, in one answer. Days and hours are UTC.

    `runs`: statuses of `today` and of `yesterday` until this time, and `by_hour` of the last 24 hours.
    `cost`: `today`, `yesterday` until this time, `all_yesterday`, and both running totals by hour.
    `agents`: those with most failures today. `findings`: the five worst of the last 24 hours, beside
    `finding_count` and `wasted_usd` of all of them. `empty`: nothing ever arrived.
    """
    today = now_ns // DAY_NS * DAY_NS
    hour = now_ns // HOUR_NS * HOUR_NS
    bounds = {"tenant": tenant, "to_ns": now_ns + 1}
    with listings.reading(store) as c:
        since = {"from_ns": today - DAY_NS, "split_ns": now_ns + 1 - DAY_NS}
        runs = listings.rows(c, "overview_runs", bounds | since)
        findings = [_finding(row) for row in listings.rows(c, "overview_findings", _since(tenant, now_ns - DAY_NS))]
        return {
            "runs": {
                "today": _statuses([h for h in runs if h["hour"] >= today // HOUR_NS]),
                "yesterday": _statuses([h for h in runs if h["before"]]),
                "by_hour": _every_hour([h for h in runs if not h["before"]], hour),
            },
            "cost": _cost(c, now_ns, today, tenant),
            "agents": [_money(row) for row in listings.rows(c, "overview_agents", bounds | {"from_ns": today})],
            "findings": findings,
            "finding_count": findings[0]["findings"] if findings else 0,
            "wasted_usd": findings[0]["all_wasted_usd"] if findings else "0",
            "empty": not c.execute("SELECT 1 FROM span_log LIMIT 1").fetchall(),
            **listings.currency(c, now_ns),
        }


def _since(tenant: str | None, from_ns: int) -> Row:
    return {"tenant": tenant, "from_ns": from_ns}


def _cost(c: Cursor, now_ns: int, today: int, tenant: str | None) -> Row:
    """Both days by hour; the hour of yesterday at this time in two parts."""
    hours = _hours(c, tenant, today - DAY_NS, now_ns + 1 - DAY_NS, max(now_ns + 1, today + HOUR_NS))
    ours = [h for h in hours if h["hour"] >= today // HOUR_NS]
    before = [h for h in hours if h["hour"] < today // HOUR_NS]
    passed = (now_ns - today) // HOUR_NS + 1
    return {
        "today": _sum(ours),
        "yesterday": _sum([h for h in before if h["before"]]),
        "all_yesterday": _sum(before),
        "today_by_hour": _running(ours, today, passed),
        "yesterday_by_hour": _running(before, today - DAY_NS, 24),
    }


def _hours(c: Cursor, tenant: str | None, from_ns: int, split_ns: int, to_ns: int) -> list[Row]:
    """What calls cost by hour (whole ones since 1970), before and after `split_ns`."""
    name_owners(c, None)
    cost_bins.name_rows(c, [(from_ns, split_ns), (split_ns, to_ns)])
    bounds = {"from_ns": from_ns, "split_ns": split_ns, "to_ns": to_ns, "tenant": tenant}
    return listings.rows(c, "overview_cost", bounds)


def _sum(hours: list[Row]) -> Row:
    """Cost (None where no call has one), waste and the calls by how they are priced."""
    known = [h["cost_pusd"] for h in hours if h["cost_pusd"] is not None]
    counts = {name: int(sum(h[name] or 0 for h in hours)) for name in COUNTS}
    calls = sum(counts.values())
    return counts | {
        "cost_usd": usd(sum(known)) if known or not calls else None,
        "wasted_usd": usd(sum(h["wasted_pusd"] or 0 for h in hours)),
    }


def _running(hours: list[Row], first_ns: int, count: int) -> list[str | None]:
    """The cost since `first_ns` at the end of each of `count` hours, in USD."""
    known: dict[int, int] = defaultdict(int)
    for h in hours:
        known[h["hour"]] += h["cost_pusd"] or 0
    total, running = 0, []
    for hour in range(first_ns // HOUR_NS, first_ns // HOUR_NS + count):
        total += known.get(hour, 0)
        running.append(usd(total))
    return running


def _statuses(hours: list[Row]) -> Row:
    """Statuses summed; `success`: share of ok among ok, error and stuck; None without such a run."""
    total = {s: sum(h[s] for h in hours) for s in STATUSES}
    judged = total["ok"] + total["error"] + total["stuck"]
    return total | {
        "runs": sum(total.values()),
        "success": total["ok"] / judged if judged else None,
        "quarantined": sum(h["quarantined"] for h in hours),
    }


def _every_hour(hours: list[Row], last_ns: int) -> list[Row]:
    """One row for each of the 24 hours that end with the current one; `start_at` is its beginning."""
    known = {h["hour"]: h for h in hours}
    empty = dict.fromkeys(STATUSES, 0)
    starts = [last_ns - back * HOUR_NS for back in reversed(range(24))]
    return [empty | known.get(s // HOUR_NS, {}) | {"start_at": moment(s)} for s in starts]


def _money(row: Row) -> Row:
    return {k.replace("_pusd", "_usd"): usd(v) if k.endswith("_pusd") else v for k, v in row.items()}


def _finding(row: Row) -> Row:
    return _money(row) | {"ended_at": moment(row["ended_ns"])}
