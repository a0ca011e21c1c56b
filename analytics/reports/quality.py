"""The ledger of ingestion: what became of everything that arrived, and what of it could not be priced."""

from collections.abc import Iterator
from typing import Any

from typing_extensions import TypedDict

from analytics import arrival_sums, cost_bins, emitter_checks
from analytics.owned_calls import name_owners
from analytics.reports import listings
from analytics.reports.emitters import Defect, Dialect, emitters
from analytics.reports.listings import Lag
from analytics.reports.values import moment
from collector.store import Cursor, Store

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS


class Outcome(TypedDict):
    """How many items had an outcome. `hour`: of arrival; of the call for `unpriced` and `unknown` calls, whose
    `reason` names the model. Late, quarantined, unclassified and sampled spans are accepted ones too.
    """

    hour: str
    signal: str
    tenant: str | None
    dialect: str | None
    outcome: str
    reason: str | None
    items: int


class DroppedKey(TypedDict):
    """An attribute whose values were not kept, with how many."""

    key: str
    values_dropped: int


class Quality(TypedDict):
    """The ledger of a period, newest hour first; `total` by outcome; how senders spoke (`dialects`) and what their
    telemetry lacks (`defects`); `dropped_keys`: of all time, most first."""

    items: list[Outcome]
    total: dict[str, int]
    dialects: list[Dialect]
    defects: list[Defect]
    dropped_keys: list[DroppedKey]
    next_cursor: None
    as_of: str
    lag: Lag


def quality(
    store: Store, now_ns: int, *, from_ns: int | None = None, to_ns: int | None = None, senders: bool = True
) -> Quality:
    """The ledger of what arrived in [from_ns, to_ns), by default in the last 24 hours.

    `senders`: items are told by tenant and dialect, else those are None. Whole hours, as the default, are answered from
    sums; of others all spans are looked at.
    """
    end_ns = (now_ns // HOUR_NS + 1) * HOUR_NS if to_ns is None else to_ns
    begin_ns = end_ns - DAY_NS - HOUR_NS if from_ns is None else from_ns
    bounds = {"from_ms": begin_ns // 10**6, "to_ms": end_ns // 10**6}
    asked: dict[str, Any] = bounds | {"senders": senders}
    with listings.reading(store) as c:
        arrival_sums.name_arrivals(c, **bounds)
        emitter_checks.name_checks(c, **bounds)
        calls = _calls(c, asked)
        found = [*listings.rows(c, "quality", asked), *_without_cost(calls, senders=senders)]
        found.sort(key=lambda row: (-row["hour"], row["outcome"], -row["items"], *map(str, row.values())))
        dialects, defects = emitters(c, calls)
        total: dict[str, int] = {}
        for row in found:
            total[row["outcome"]] = total.get(row["outcome"], 0) + int(row["items"])
        return {
            "items": [_outcome(row) for row in found],
            "total": dict(sorted(total.items())),
            "dialects": dialects,
            "defects": defects,
            "dropped_keys": listings.rows(c, "dropped_keys", {}),  # type: ignore[typeddict-item]
            "next_cursor": None,
            **listings.currency(c, now_ns),
        }


def _calls(c: Cursor, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Model calls that started in a period, by hour and description."""
    from_ns, to_ns = (asked[name] * 10**6 for name in ("from_ms", "to_ms"))
    name_owners(c, None)
    cost_bins.name_rows(c, [(from_ns, to_ns)])
    return listings.rows(c, "quality_calls", {"from_ns": from_ns, "to_ns": to_ns, "senders": asked["senders"]})


def _without_cost(calls: list[dict[str, Any]], *, senders: bool) -> Iterator[dict[str, Any]]:
    """Outcomes of calls without a price or usage; the reason names the model."""
    for row in calls:
        named = "/".join(filter(None, (row["provider"], row["model"]))) if row["model"] else None
        place = {"hour": row["hour"], "signal": "traces"}
        for outcome in ("unpriced", "unknown"):
            if items := row[f"{outcome}_calls"]:
                known = {"tenant": row["tenant"], "dialect": row["dialect"] if senders else None, "reason": named}
                yield place | known | {"outcome": outcome, "items": items}


def _outcome(row: dict[str, Any]) -> Outcome:
    values = row | {"hour": moment(row["hour"] * HOUR_NS), "items": int(row["items"])}
    return {name: values[name] for name in Outcome.__annotations__}  # type: ignore[return-value]
