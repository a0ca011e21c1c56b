"""Remapping as answers."""

from typing import Any

from typing_extensions import TypedDict

from analytics.reports.audits import list_acts
from analytics.reports.values import usd
from collector.remap import Change, Remapped
from collector.store import Store

MAX_ITEMS = 1000

_TOLD = ("remap", "undoes", "actor", "tables_version", "spans", "changed_spans")


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
    return list_acts(store, now_ns, "remaps", _TOLD)


def _item(change: Change) -> RemapItem:
    old, new, field = change.old, change.new, change.field
    if field == "reported_pusd":
        field, old, new = "reported_usd", usd(_sum(old)), usd(_sum(new))
    return {"dialect": change.dialect, "field": field, "spans": change.spans, "old": old, "new": new}


def _sum(value: str | int | None) -> int | None:
    return value if isinstance(value, int) else None
