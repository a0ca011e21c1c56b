"""Data quality: the ledger of what became of everything that arrived, and how far the numbers can be trusted."""

from collections import defaultdict
from typing import Any

from fastapi import APIRouter, Request, Response

from analytics.reports.counters import counters
from analytics.reports.quality import quality
from dashboards import charts, format
from dashboards.pages.frame import HOUR_NS, Table, period, respond

router = APIRouter(include_in_schema=False)

OUTCOMES = {  # outcome: what it means for the numbers
    "accepted": "stored and counted once",
    "rejected": "refused, the sender was told why",
    "deduplicated": "sent again, counted once",
    "conflicting": "same id, other content: the first one stands",
    "quarantined": "stored and shown, in no total",
    "late": "arrived more than 5 minutes after its end",
    "repaired": "invalid text replaced",
    "dropped": "values left out, the span kept",
    "scrubbed": "secrets in names replaced, counted by rule",
    "unclassified": "no dialect matched: kept as other",
    "sampled": "the sender says that it kept some back",
    "unpriced": "model calls without a price",
    "unknown": "model calls without usage",
}
CHARTED = {
    "accepted": "--series-1",
    "deduplicated": "--series-6",
    "rejected": "--series-2",
    "quarantined": "--series-4",
    "late": "--series-5",
}
COLUMNS = {
    "hour": "Hour (UTC)",
    "signal": "Signal",
    "tenant": "Tenant",
    "dialect": "Dialect",
    "outcome": "Outcome",
    "reason": "Reason",
    "items": "Items",
}

DIALECT_COLUMNS = (
    *("dialect", "spans", "exact", "assumed", "none", "model_calls", "priced_calls", "unpriced_calls", "unknown_calls"),
    *("usage_assumed", "sums_told", "sums_differing", "sampled", "quarantined", "late"),
)
DEFECT_COLUMNS = ("dialect", "scope", "scope_version", "defect", "evidence", "items", "of", "sentence")
COUNTER_COLUMNS = ("tenant", "service", "model", "field", "counted", "called", "difference", "sentence")
COUNTED = {  # fields of counters in words
    "input_tokens": "input tokens",
    "uncached_input_tokens": "input tokens, uncached",
    "output_tokens": "output tokens",
    "cache_read_tokens": "cache reads",
    "cache_write_tokens": "cache writes",
    "reasoning_tokens": "reasoning tokens",
    "reported_usd": "cost, USD",
}


@router.get("/quality")
def page(request: Request) -> Response:
    """The ledger of the whole hours that the period touches."""
    now_ns = request.app.state.clock()
    when = period(request, now_ns, "24h")
    from_ns, to_ns = when.from_ns // HOUR_NS * HOUR_NS, -(-when.to_ns // HOUR_NS) * HOUR_NS
    listed = request.query_params.get("csv") == "ledger"  # the one place that tells senders apart
    found = quality(request.app.state.store, now_ns, from_ns=from_ns, to_ns=to_ns, senders=listed)
    counted = counters(request.app.state.store, now_ns)["items"]
    items: list[Any] = found["items"]
    hours = _pivot(items, "hour", "outcome")
    return respond(
        request,
        "quality.html",
        {
            "ledger": Table("Ledger", COLUMNS, items),
            "dialects": Table("Dialects", _same(DIALECT_COLUMNS), found["dialects"]),
            "defects": Table("What emitters leave out", _same(DEFECT_COLUMNS), found["defects"]),
            "counters": Table("Emitters' counters", _same(COUNTER_COLUMNS), counted),
            "hours": Table("Outcomes by hour", {"hour": "Hour (UTC)"} | {o: o for o in CHARTED}, _labelled(hours)),
        },
        active="quality",
        when=when,
        outcomes=OUTCOMES,
        total=found["total"],
        lag=found["lag"],
        reasons=[r for r in _reasons(items) if r["outcome"] != "accepted"],
        dialects=found["dialects"],
        defects=found["defects"],
        counters=counted,
        counted=COUNTED,
        dropped_keys=found["dropped_keys"],
        figure=_figure(hours),
        checked=request.app.state.self_check(),
    )


def _same(columns: tuple[str, ...]) -> dict[str, str]:
    return {name: name for name in columns}


def _pivot(items: list[Any], row: str, column: str) -> list[dict[str, Any]]:
    """One row a value of `row`, with the items of each outcome; outcomes that did not happen are 0."""
    sums: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(OUTCOMES, 0))
    for item in items:
        counts = sums[item[row]]
        counts[item[column]] = counts.get(item[column], 0) + item["items"]
    return [{row: value} | sums[value] for value in sorted(sums)]


def _reasons(items: list[Any]) -> list[dict[str, Any]]:
    sums: dict[tuple[str, str, str], int] = defaultdict(int)
    for item in items:
        sums[item["outcome"], item["reason"] or "", item["signal"]] += item["items"]
    known = ("outcome", "reason", "signal")
    rows = [dict(zip(known, key, strict=True)) | {"items": count} for key, count in sums.items()]
    return sorted(rows, key=lambda row: (list(OUTCOMES).index(row["outcome"]), -row["items"]))


def _labelled(hours: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"hour": format.utc(row["hour"])[:16]} for row in hours]


def _figure(hours: list[dict[str, Any]]) -> charts.Figure:
    labels = [format.utc(row["hour"])[5:16] for row in hours]
    return charts.bars(labels, {o: [row[o] for row in hours] for o in CHARTED if o != "late"}, CHARTED)
