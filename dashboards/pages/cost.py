"""Cost: any grouping of any slice, over time and against the period before, with what explains the difference."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from analytics.drivers import PARTS
from analytics.reports import explorer
from analytics.reports.costs import DESCRIBED, FILTERS, GROUP_KEYS
from analytics.reports.values import moment
from dashboards import charts
from dashboards.pages.frame import DAY_NS, Period, Table, period, respond

router = APIRouter(include_in_schema=False)

RUN_FILTERS = {"agent", "tenant", "environment", "user", "session", "model", "tool"}
"""Group keys whose runs the page Runs can list."""
SUMS = (
    *("cost_usd", "wasted_usd", "booked_usd", "reported_usd", "avoided_usd", "llm_calls", "llm_errors"),
    *("tool_calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("priced_calls", "unpriced_calls", "unknown_calls", "priced_tokens"),
)
PART_WORDS = {  # part of the difference: its name, and what it means
    "new": ("New", "groups without a call before"),
    "gone": ("Gone", "groups without a call now"),
    "volume": ("Volume", "more or fewer calls, at what a call cost before"),
    "mix": ("Mix", "calls went to dearer or cheaper models and tools"),
    "price": ("Cost a call", "a call of the same model or tool costs more or less"),
    "coverage": ("Coverage", "calls that have a price now and had none, or the other way round"),
}
SERIES = 7
SHOWN = 50

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """What the address asks: the grouping, the slice (`key=value` of any group key), the period, and to compare it."""

    group_by: list[str]
    slice: dict[str, str]
    when: Period
    compared: bool


@router.get("/cost")
def page(request: Request) -> Response:
    """The cost of the period by group and over time."""
    store, now_ns, owners = request.app.state.store, request.app.state.clock(), request.app.state.owners
    asked = _question(request, now_ns)
    unit = "hour" if asked.when.to_ns - asked.when.from_ns <= DAY_NS + 1000 else "day"
    question = explorer.Question(tuple(asked.group_by), asked.when.from_ns, asked.when.to_ns, owners, asked.slice)
    series = None if request.query_params.get("csv") == "time" else SERIES
    found = explorer.explore(store, now_ns, question, unit, compared=asked.compared, series=series)
    first = [key for key in asked.group_by[:1] if key in DESCRIBED]
    items = _with_changes(found["items"], found["drivers"], asked.group_by)
    shown = [*asked.group_by, "cost_usd", *(("before_usd", "change_usd") if found["drivers"] else ()), *SUMS[1:]]
    tables = {
        "costs": Table("Cost", {name: name for name in shown}, items),
        "time": _time_table(found["over_time"], unit, first),
        "drivers": _drivers_table(found["drivers"], asked.group_by),
    }
    return respond(
        request,
        "cost.html",
        tables,
        active="cost",
        asked=asked,
        items=items[:SHOWN],
        groups=len(items),
        most_groups=explorer.MOST_GROUPS,
        total=found["total"],
        drivers=found["drivers"],
        parts=PART_WORDS,
        unit=unit,
        unpriced=found["unpriced"],
        keys=GROUP_KEYS,
        filters=FILTERS,
        run_filters=RUN_FILTERS,
        figure=_figure(found["over_time"], unit, first),
        files=_files(asked),
    )


def _question(request: Request, now_ns: int) -> Question:
    query = request.query_params
    named = [key for text in query.getlist("group_by") for key in text.split(",")]
    group_by = [key for key in dict.fromkeys(named) if key in GROUP_KEYS] or ["agent"]
    chosen = {query["where"]: query.get("is", "")} if "where" in query else {}
    slice_ = {key: value for key in FILTERS if (value := chosen.get(key) or query.get(key))}
    when = period(request, now_ns)
    micros = {name: getattr(when, name) // 1000 * 1000 for name in ("from_ns", "to_ns")}  # as files can be asked for
    return Question(group_by, slice_, replace(when, **micros), query.get("compare") != "none")


def _files(asked: Question) -> dict[str, str]:
    """Addresses of the same groups as files, all of them."""
    period = {"from": moment(asked.when.from_ns), "to": moment(asked.when.to_ns)}
    question = {"group_by": ",".join(asked.group_by)} | period | asked.slice
    return {form: f"/api/v1/reports?{urlencode(question | {'format': form})}" for form in ("json", "parquet")}


def _with_changes(items: Sequence[Row], found: Any, keys: list[str]) -> list[dict[str, Any]]:
    """The rows with their cost before; groups that are gone are the drivers' alone."""
    if found is None:
        return [dict(row) for row in items]
    known = {tuple(row[key] for key in keys): row for row in found["items"]}
    rows = []
    for row in items:
        driver = known.get(tuple(row[key] for key in keys))
        change = {name: driver[name] if driver else None for name in ("before_usd", "change_usd", "before_calls")}
        rows.append(dict(row) | change)
    return rows


def _drivers_table(found: Any, keys: list[str]) -> Table:
    """What explains the difference, a row a group."""
    amounts = ("before_usd", "cost_usd", "change_usd", *(f"{part}_usd" for part in PARTS))
    columns = {name: name for name in (*keys, *amounts, "before_calls", "calls", "sentence")}
    return Table("Drivers", columns, found["items"] if found else [])


def _time_table(items: Sequence[Row], unit: str, first: list[str]) -> Table:
    names = {unit: unit.capitalize() + " (UTC)"} | {key: _word(key) for key in first}
    columns = names | {"cost_usd": "Cost, USD", "wasted_usd": "Wasted, USD", "llm_calls": "Model calls"}
    return Table(f"Cost by {unit}", columns, sorted(items, key=lambda row: str(row[unit])))


def _figure(items: Sequence[Row], unit: str, first: list[str]) -> charts.Figure:
    """Bars over time, one colour for each of the dearest groups; the rest share grey."""
    times = sorted({row[unit] for row in items})
    place = {time: at for at, time in enumerate(times)}
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in items:
        sums[_series(row, first)] += Decimal(row["cost_usd"] or 0)
    names = sorted(sums.keys() - {charts.REST}, key=lambda name: (-sums[name], name))[:SERIES]
    values: dict[str, list[float]] = {name: [0.0] * len(times) for name in names}
    for row in items:
        name = _series(row, first)
        series = values.setdefault(name if name in names else charts.REST, [0.0] * len(times))
        series[place[row[unit]]] += float(row["cost_usd"] or 0)
    labels = [t[11:16] if unit == "hour" else t[5:10] for t in map(str, times)]
    return charts.bars(labels, values, charts.ranked(list(values)), money=True)


def _series(row: Row, first: list[str]) -> str:
    return "cost" if not first else str(row[first[0]] or "(none)")


def _word(key: str) -> str:
    return key.replace("_", " ").capitalize()
