"""Emitters' own counters beside the calls: they never add to a total, they show where calls did not arrive."""

from typing import Any

from typing_extensions import TypedDict

from analytics.reports import listings
from analytics.reports.listings import Lag
from collector.store import Store


class Counter(TypedDict):
    """One quantity of one model as a service counts it, and as its calls add up. `field` names a column of spans, or
    `uncached_input_tokens`, `reported_usd` (USD). `difference`: counted less called, 0 where all calls arrived; what it
    means is said in `sentence`."""

    tenant: str | None
    service: str
    model: str | None
    field: str
    counted: float
    called: float
    difference: float
    sentence: str


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
            "items": [_counter(row) for row in listings.rows(c, "counters", {})],
            "next_cursor": None,
            **listings.currency(c, now_ns),
        }


def _counter(row: dict[str, Any]) -> Counter:
    return {**row, "sentence": _sentence(row)}  # type: ignore[typeddict-item]


def _sentence(row: dict[str, Any]) -> str:
    if not row["difference"]:
        return "The calls add up to what the emitter counted."
    if not row["called"]:
        return (
            "Counted, but no such call arrived: the emitter sends metrics only, or its logs and traces go elsewhere. "
            "Totals do not hold it."
        )
    share = abs(row["difference"]) / max(row["counted"], row["called"])
    if row["difference"] > 0:
        return f"{share:.1%} of what the emitter counted is in no call here: calls were lost, dropped or not exported."
    return (
        f"The calls hold {share:.1%} more than the counter: its last values are still to come, or it was lost or reset."
    )
