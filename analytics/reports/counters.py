"""Emitters' own counters beside the calls: they never add to a total, they show where calls did not arrive."""

from typing_extensions import TypedDict

from analytics.reports import listings
from analytics.reports.listings import Lag
from collector.store import Store


class Counter(TypedDict):
    """One quantity of one model as a service counts it, and as its calls add up. `field` names a column of spans, or
    `uncached_input_tokens`, `reported_usd` (USD). `difference`: counted less called, 0 where all calls arrived."""

    tenant: str | None
    service: str
    model: str | None
    field: str
    counted: float
    called: float
    difference: float


class Counters(TypedDict):
    """All of them, the largest difference first."""

    items: list[Counter]
    next_cursor: None
    as_of: str
    lag: Lag


def counters(store: Store, now_ns: int) -> Counters:
    """What coding agents say they used, against their calls, over the time that their counters cover."""
    with listings.reading(store) as c:
        return {
            "items": listings.rows(c, "counters", {}),  # type: ignore[typeddict-item]
            "next_cursor": None,
            **listings.currency(c, now_ns),
        }
