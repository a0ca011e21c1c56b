"""Remapping as answers."""

from typing import Any

from typing_extensions import TypedDict

from analytics.reports import listings
from analytics.reports.periods import bounds
from analytics.reports.values import moment, usd
from collector.remap import Change, Remapped
from collector.store import Store

MAX_ITEMS = 1000

_AUDIT = "SELECT * FROM remaps ORDER BY remap DESC LIMIT 1000"


class RemapItem(TypedDict):
    """A difference of the spans of one dialect: the texts of a field, or the sums of a number over the spans that
    differ (money as a string in USD). null: unknown."""

    dialect: str
    field: str
    spans: int
    old: str | int | None
    new: str | int | None


class Remapping(TypedDict):
    """What a remap changes; `remap` is None where it was only shown. `bare_spans`: those whose kind is unknown and of
    which nothing was kept to go by. `omitted`: items beyond those given, the ones with the fewest spans."""

    remap: int | None
    tables_version: str
    spans: int
    changed_spans: int
    bare_spans: int
    items: list[RemapItem]
    omitted: int


def remapping(done: Remapped) -> Remapping:
    """The answer to a remap."""
    most = sorted(range(len(done.changes)), key=lambda i: -done.changes[i].spans)[:MAX_ITEMS]
    return {
        "remap": done.remap,
        "tables_version": done.tables_version,
        "spans": done.spans,
        "changed_spans": done.changed_spans,
        "bare_spans": done.bare_spans,
        "items": [_item(done.changes[i]) for i in sorted(most)],
        "omitted": len(done.changes) - len(most) + done.omitted,
    }


def list_remaps(store: Store, now_ns: int) -> dict[str, Any]:
    """The audit of remapping, the latest first."""
    with store.cursor() as c:
        found = listings.dicts(c, _AUDIT)
    items = [
        {
            **{name: row[name] for name in ("remap", "undoes", "actor", "tables_version", "spans", "changed_spans")},
            "at": moment(row["at_ns"]),
            **bounds(row["from_ns"], row["to_ns"]),
        }
        for row in found
    ]
    return {"items": items, "next_cursor": None, "as_of": moment(now_ns)}


def _item(change: Change) -> RemapItem:
    old, new, field = change.old, change.new, change.field
    if field == "reported_pusd":
        field, old, new = "reported_usd", usd(_sum(old)), usd(_sum(new))
    return {"dialect": change.dialect, "field": field, "spans": change.spans, "old": old, "new": new}


def _sum(value: str | int | None) -> int | None:
    return value if isinstance(value, int) else None
