"""Audits of acts that can be taken back, as listings."""

from collections.abc import Callable, Mapping
from typing import Any

from analytics.reports import listings
from analytics.reports.periods import bounds
from analytics.reports.values import moment
from collector.store import Store


def list_acts(
    store: Store,
    now_ns: int,
    table: str,
    told: tuple[str, ...],
    more: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda row: {},
) -> dict[str, Any]:
    """The latest thousand rows of an audit, the latest first: the columns `told`, the first of which numbers the acts,
    `at`, the period `from` and `to`, and what `more` makes of a row.
    """
    with store.cursor() as c:
        found = listings.dicts(c, f"SELECT * FROM {table} ORDER BY {told[0]} DESC LIMIT 1000")
    items = [
        {name: row[name] for name in told}
        | {"at": moment(row["at_ns"]), **bounds(row["from_ns"], row["to_ns"])}
        | more(row)
        for row in found
    ]
    return {"items": items, "next_cursor": None, "as_of": moment(now_ns)}
