"""Cost: any grouping of any slice, by day, with how much of it is priced and how much was wasted."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Request, Response

from analytics.reports.costs import GROUP_KEYS, list_costs
from dashboards import charts
from dashboards.pages.frame import DAY_NS, Period, Table, period, respond

router = APIRouter(include_in_schema=False)

UNSLICED = {"day", "hour", "owner"}  # group keys that a cost cannot be filtered by
RUN_FILTERS = {
    "agent",
    "tenant",
    "environment",
    "user",
    "session",
    "model",
    "tool",
}  # groups whose runs the page Runs can list
COLUMNS = (
    *("cost_usd", "wasted_usd", "booked_usd", "reported_usd", "avoided_usd", "runs", "llm_calls", "llm_errors"),
    *("tool_calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("priced_calls", "unpriced_calls", "unknown_calls", "priced_tokens"),
)
SERIES = 7

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """What the address asks: the grouping, the slice (`key=value` of any group key) and the period."""

    group_by: list[str]
    slice: dict[str, str]
    when: Period


@router.get("/cost")
def page(request: Request) -> Response:
    """The cost of the period by group and over time."""
    store, now_ns = request.app.state.store, request.app.state.clock()
    asked = _question(request, now_ns)
    span: dict[str, Any] = {"from_ns": asked.when.from_ns, "to_ns": asked.when.to_ns, **asked.slice}
    unit = "hour" if asked.when.to_ns - asked.when.from_ns <= DAY_NS + 1 else "day"
    first = [key for key in asked.group_by[:1] if key != unit]
    found = list_costs(store, now_ns, group_by=asked.group_by, **span)
    models = list_costs(store, now_ns, group_by=["provider", "model"], **span)["items"]
    over_time = list_costs(store, now_ns, group_by=[unit, *first], **span)["items"]
    columns = {name: name for name in [*asked.group_by, *COLUMNS]}
    tables = {"costs": Table("Cost", columns, found["items"]), "time": _time_table(over_time, unit, first)}
    return respond(
        request,
        "cost.html",
        tables,
        active="cost",
        asked=asked,
        items=found["items"],
        total=found["total"],
        unit=unit,
        unpriced=[m for m in models if m["unpriced_calls"] + m["unknown_calls"]],
        keys=GROUP_KEYS,
        run_filters=RUN_FILTERS,
        unsliced=UNSLICED,
        figure=_figure(over_time, unit, first),
    )


def _question(request: Request, now_ns: int) -> Question:
    query = request.query_params
    named = [key for text in query.getlist("group_by") for key in text.split(",")]
    group_by = [key for key in dict.fromkeys(named) if key in GROUP_KEYS] or ["agent"]
    slice_ = {key: query[key] for key in GROUP_KEYS if query.get(key) and key not in UNSLICED}
    return Question(group_by, slice_, period(request, now_ns))


def _time_table(items: Sequence[Row], unit: str, first: list[str]) -> Table:
    names = {unit: unit.capitalize() + " (UTC)"} | {key: _word(key) for key in first}
    columns = names | {"cost_usd": "Cost, USD", "wasted_usd": "Wasted, USD", "llm_calls": "Model calls"}
    return Table(f"Cost by {unit}", columns, sorted(items, key=lambda row: row[unit]))


def _figure(items: Sequence[Row], unit: str, first: list[str]) -> charts.Figure:
    """Bars over time, one colour for each of the dearest groups; the rest share grey."""
    times = sorted({row[unit] for row in items})
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in items:
        sums[_series(row, first)] += Decimal(row["cost_usd"] or 0)
    names = sorted(sums, key=lambda name: -sums[name])[:SERIES]
    values: dict[str, list[float]] = {name: [0.0] * len(times) for name in names}
    for row in items:
        name = _series(row, first)
        series = values.setdefault(name if name in names else charts.REST, [0.0] * len(times))
        series[times.index(row[unit])] += float(row["cost_usd"] or 0)
    labels = [t[11:16] if unit == "hour" else t[5:10] for t in map(str, times)]
    return charts.bars(labels, values, charts.ranked(list(values)), money=True)


def _series(row: Row, first: list[str]) -> str:
    return "cost" if not first else str(row[first[0]] or "(none)")


def _word(key: str) -> str:
    return key.replace("_", " ").capitalize()
