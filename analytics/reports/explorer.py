"""Costs looked at from all sides: by group and over time, this period against the one before, and why they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from typing_extensions import TypedDict

from analytics.drivers import FINE, PARTS, drivers
from analytics.owned_calls import NO_OWNERS
from analytics.owners import OwnerMap
from analytics.reports import listings
from analytics.reports.costs import (
    DESCRIBED,
    GROUP_KEYS,
    CostRow,
    CostTotal,
    dearest,
    groups,
    keys_of,
    sums_of,
)
from analytics.reports.listings import Lag
from analytics.reports.parts import EVERYTHING
from analytics.reports.periods import EVER_NS
from analytics.reports.values import BadQuestion, moment, usd
from collector.store import Cursor, Store

MOST_GROUPS = 1000
REST = "other"
INCOMPARABLE = ("run", "session", "day", "hour")
"""Group keys whose values belong to one period: comparing two periods by them says nothing."""

_COUNTS = ("llm_calls", "llm_errors", "tool_calls", "priced_calls", "unpriced_calls", "unknown_calls", "priced_tokens",
           "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")  # fmt: skip
_AMOUNTS = ("cost_pusd", "booked_pusd", "reported_pusd", "wasted_pusd", "avoided_pusd")


class Difference(TypedDict):
    """Costs of a period and of the one before, and what explains the difference: the parts add up to `change_usd`.

    See analytics.drivers for what each part means. `calls` are model calls, and tool calls that have a price.
    """

    cost_usd: str | None
    before_usd: str | None
    change_usd: str
    new_usd: str
    gone_usd: str
    volume_usd: str
    coverage_usd: str
    mix_usd: str
    price_usd: str
    calls: int
    before_calls: int
    priced_calls: int
    before_priced_calls: int


class Driver(Difference, total=False):
    """The difference of one group, with the group keys that were asked for, and in words."""

    agent: str | None
    agent_version: str | None
    service: str | None
    service_version: str | None
    tenant: str | None
    user: str | None
    environment: str | None
    provider: str | None
    model: str | None
    tool_server: str | None
    tool: str | None
    owner: str | None
    dialect: str | None
    step: int | None
    sentence: str


class Stretch(TypedDict):
    """A period, half-open."""

    from_at: str
    to_at: str


class Drivers(TypedDict):
    """Groups, the largest difference first; `total` is over all of them."""

    items: list[Driver]
    total: Difference
    period: Stretch
    before: Stretch
    next_cursor: None
    as_of: str
    lag: Lag


@dataclass(frozen=True)
class Question:
    """Costs of calls that started in [from_ns, to_ns) by `group_by`, of those that the filters leave."""

    group_by: tuple[str, ...]
    from_ns: int
    to_ns: int
    owners: OwnerMap = NO_OWNERS
    filters: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def before_ns(self) -> int:
        """Where the period before begins: it is as long, and ends where this one begins."""
        return self.from_ns - (self.to_ns - self.from_ns)

    @property
    def comparable(self) -> bool:
        """Whether two periods can be compared by these keys."""
        return not set(INCOMPARABLE) & set(self.group_by)


class Explored(TypedDict):
    """What the cost page shows. Rows have no number of runs. `unpriced`: models without a price or usage."""

    items: list[CostRow]
    total: CostTotal
    over_time: list[CostRow]
    unpriced: list[CostRow]
    drivers: Drivers | None


def compare(store: Store, now_ns: int, asked: Question, limit: int = MOST_GROUPS) -> Drivers:
    """Why costs differ from the period before, by group, the `limit` largest differences. Raises BadQuestion."""
    listings.require_limit(limit)
    if EVER_NS[0] == asked.from_ns or EVER_NS[1] == asked.to_ns:
        raise BadQuestion("from", "a period is compared with the one before: say from when, such as from=7d")
    if not asked.comparable:
        named = next(key for key in asked.group_by if key in INCOMPARABLE)
        fit = ", ".join(key for key in GROUP_KEYS if key not in INCOMPARABLE)
        raise BadQuestion("group_by", f"{named} differs between two periods by nature: compare by {fit}")
    with listings.reading(store) as c:
        cells = _cells(c, asked, (*asked.group_by, *FINE), compared=True)
        return _compared(c, cells, asked, now_ns, limit)


def explore(
    store: Store, now_ns: int, asked: Question, unit: str, *, compared: bool, series: int | None = None
) -> Explored:
    """Costs by group and by `unit` (`day` or `hour`, UTC) with the first key; the dearest groups first.

    `compared`: with the drivers of the difference to the period before, if the keys allow. `series`: over time so many
    of the dearest groups are told apart, what is left of them is named REST. Raises BadQuestion.
    """
    summed = {*DESCRIBED, unit}
    compared = compared and asked.comparable
    with listings.reading(store) as c:
        inner = [key for key in asked.group_by if key in summed]
        cells = _cells(c, asked, (*inner, *FINE, unit), compared=compared)
        ours = cells if set(asked.group_by) <= summed else _cells(c, asked, asked.group_by, compared=compared)
        first = [key for key in asked.group_by[:1] if key in DESCRIBED]
        return {
            "items": _rows(_now(ours), asked.group_by)[:MOST_GROUPS],
            "total": _rows(_now(cells), ())[0],
            "over_time": _rows(_told_apart(_now(cells), first, series), (unit, *first)),
            "unpriced": [
                r for r in _rows(_now(cells), ("provider", "model")) if r["unpriced_calls"] + r["unknown_calls"]
            ],
            "drivers": _compared(c, ours, asked, now_ns) if compared else None,
        }


def _cells(c: Cursor, asked: Question, keys: Sequence[str], *, compared: bool) -> pl.DataFrame:
    """Sums by keys, and by period where two are compared; of what cannot be compared the dearest alone."""
    from_ns = asked.before_ns if compared else asked.from_ns
    if compared and set(keys) - set(DESCRIBED) - {"day", "hour"}:
        keys = (*keys, *FINE)
    keys = tuple(dict.fromkeys(keys))
    question = (keys, from_ns, asked.to_ns, "UTC", asked.owners, asked.filters)
    many = not set(INCOMPARABLE[:2]).isdisjoint(keys)
    only = dearest(c, MOST_GROUPS, *question, with_runs=False) if many else EVERYTHING
    found = groups(c, *question, with_runs=False, only=only, split_ns=asked.from_ns if compared else None)
    if many:
        found = found.order("cost_pusd DESC NULLS LAST").limit(MOST_GROUPS)
    frame = pl.from_arrow(found.to_arrow_table())
    assert isinstance(frame, pl.DataFrame)
    return frame.with_columns(pl.col("before").fill_null(value=False), pl.col(*_COUNTS, *_AMOUNTS).cast(pl.Int128))


def _told_apart(cells: pl.DataFrame, keys: Sequence[str], series: int | None) -> pl.DataFrame:
    """The cells with all but the dearest groups by these keys put together; one key or none."""
    if series is None or not keys:
        return cells
    (key,) = keys
    sums = cells.group_by(key).agg(pl.col("cost_pusd").sum()).sort("cost_pusd", key, descending=[True, False])
    rest = sums[series:].select(key, rest=pl.lit(value=True))
    cells = cells.join(rest, on=key, how="left", nulls_equal=True)
    return cells.with_columns(pl.when("rest").then(pl.lit(REST)).otherwise(key).alias(key))


def _now(cells: pl.DataFrame) -> pl.DataFrame:
    return cells.filter(~pl.col("before"))


def _rows(cells: pl.DataFrame, keys: Sequence[str]) -> list[Any]:
    """Cost rows by keys, the dearest first."""
    sums = [
        *(pl.col(name).sum() for name in _COUNTS),
        *(pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()) for name in _AMOUNTS),
    ]
    found = cells.group_by(*keys, maintain_order=True).agg(sums) if keys else cells.select(sums)
    found = found.sort("cost_pusd", *keys, descending=[True, *([False] * len(keys))], nulls_last=True)
    rows = found.with_columns(offset_minutes=pl.lit(0), runs=pl.lit(0)).iter_rows(named=True)
    answers: list[dict[str, Any]] = [{**keys_of(row, keys), **sums_of(row)} for row in rows]
    return [{name: value for name, value in row.items() if name != "runs"} for row in answers]


def _compared(c: Cursor, cells: pl.DataFrame, asked: Question, now_ns: int, limit: int = MOST_GROUPS) -> Drivers:
    found = drivers(cells, asked.group_by)
    total = found.select(pl.exclude(asked.group_by).sum()).row(0, named=True)
    found = found.sort(pl.col("change").abs(), *asked.group_by, descending=[True, *([False] * len(asked.group_by))])
    return {
        "items": [
            {**keys_of(row, asked.group_by), **_difference(row), "sentence": _sentence(row)}  # type: ignore[typeddict-item]
            for row in found.head(limit).iter_rows(named=True)
        ],
        "total": _difference(total),
        "period": {"from_at": moment(asked.from_ns), "to_at": moment(asked.to_ns)},
        "before": {"from_at": moment(asked.before_ns), "to_at": moment(asked.from_ns)},
        "next_cursor": None,
        **listings.currency(c, now_ns),
    }


def _difference(row: Mapping[str, Any]) -> Difference:
    known = {side: not row[f"calls_{side}"] or row[f"priced_{side}"] for side in ("before", "now")}
    values: dict[str, Any] = {
        "cost_usd": usd(row["cost_now"]) if known["now"] else None,
        "before_usd": usd(row["cost_before"]) if known["before"] else None,
        "change_usd": usd(row["change"]),
        **{f"{part}_usd": usd(row[part]) for part in PARTS},
        "calls": row["calls_now"],
        "before_calls": row["calls_before"],
        "priced_calls": row["priced_now"],
        "before_priced_calls": row["priced_before"],
    }
    return {name: values[name] for name in Difference.__annotations__}  # type: ignore[return-value]


def _sentence(row: Mapping[str, Any]) -> str:
    """What changed, in words, the largest part first."""
    before, now = row["calls_before"], row["calls_now"]
    if not before:
        return f"New: {now:,} calls, none in the period before."
    if not now:
        return f"Gone: {before:,} calls in the period before, none now."
    up = {part: row[part] > 0 for part in PARTS}
    words = {
        "volume": f"{now:,} calls instead of {before:,}",
        "coverage": "more of the calls have a price" if up["coverage"] else "fewer of the calls have a price",
        "mix": f"more of the calls go to {'dearer' if up['mix'] else 'cheaper'} models or tools",
        "price": f"a call of the same model or tool costs {'more: it is longer or dearer' if up['price'] else 'less'}",
    }
    told = [words[part] for part in sorted(words, key=lambda part: -abs(row[part])) if row[part]]
    text = "; ".join(told) or "nothing that costs has changed"
    return f"{text[0].upper()}{text[1:]}."
