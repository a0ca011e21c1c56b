"""Repricing and period close as answers."""

from typing import Any

from typing_extensions import TypedDict

from analytics import close
from analytics.close import ClosedMonth
from analytics.reports.audits import list_acts
from analytics.reports.values import moment, usd
from analytics.reprice import Repriced
from collector.store import Store

_TOLD = ("reprice", "undoes", "actor", "model", "price_version", "calls", "changed_calls")


class Repricing(TypedDict):
    """What a repricing changes; `reprice` is None where it was only shown. An item is a day (UTC), provider and model
    or tool: `calls`, `changed_calls`, `old_priced_calls`, `new_priced_calls`, `old_usd`, `new_usd`,
    `difference_usd`. Without `items` it is a row of the audit, with `undoes`, `at`, `actor`, `from`, `to`, `model`.
    """

    reprice: int | None
    price_version: str
    calls: int
    changed_calls: int
    old_usd: str | None
    new_usd: str | None
    difference_usd: str | None
    items: list[dict[str, Any]]


def repricing(done: Repriced) -> Repricing:
    """The answer to a repricing, only the days and models that change."""
    items = [
        {
            **{key: row[key] for key in ("provider", "model", "tool")},
            "day": str(row["day"]),
            **{key: int(row[key]) for key in ("calls", "changed_calls", "old_priced_calls", "new_priced_calls")},
            **_amounts(int(row["old_pusd"]), int(row["new_pusd"])),
        }
        for row in done.difference.iter_rows(named=True)
        if row["changed_calls"]
    ]
    return {
        "reprice": done.reprice,
        "price_version": done.price_version,
        "calls": done.calls,
        "changed_calls": done.changed_calls,
        **_amounts(done.old_pusd, done.new_pusd),  # type: ignore[typeddict-item]
        "items": items,
    }


def list_reprices(store: Store, now_ns: int) -> dict[str, Any]:
    """The audit of repricing, the latest first."""
    return list_acts(store, now_ns, "reprices", _TOLD, lambda row: _amounts(int(row["old_pusd"]), int(row["new_pusd"])))


def list_months(store: Store, now_ns: int) -> dict[str, Any]:
    """Closed months, the latest first."""
    items = [closed_month(month) for month in close.closed_months(store)]
    return {"items": items, "next_cursor": None, "as_of": moment(now_ns)}


def closed_month(month: ClosedMonth) -> dict[str, Any]:
    """A closed month: `frozen_usd`, `corrections_usd` and their sum `cost_usd`, which is None where no call is priced;
    and how many of its model calls are priced."""
    unpriced = month.llm_calls and not month.priced_calls
    return {
        "month": month.month,
        "closed_at": moment(month.closed_ns),
        "actor": month.actor,
        "frozen_usd": usd(month.frozen_pusd),
        "corrections": month.corrections,
        "corrections_usd": usd(month.corrections_pusd),
        "cost_usd": None if unpriced else usd(month.frozen_pusd + month.corrections_pusd),
        **{name: getattr(month, name) for name in ("llm_calls", "priced_calls", "unpriced_calls", "unknown_calls")},
    }


def month_costs(store: Store, now_ns: int, month: str, group_by: tuple[str, ...]) -> dict[str, Any]:
    """The rows of a closed month: the keys, `entry` (0: as closed), `at`, and the sums of a cost row."""
    rows = close.month_costs(store, month, group_by)
    items = [
        {
            **{key: str(row[key]) if key == "day" else row[key] for key in (*group_by, "entry")},
            "at": moment(row["at_ns"]),
            **{
                name.replace("_pusd", "_usd"): usd(int(row[name])) if name.endswith("_pusd") else int(row[name])
                for name in close.SUMS
            },
        }
        for row in rows.iter_rows(named=True)
    ]
    return {"items": items, "next_cursor": None, "as_of": moment(now_ns)}


def _amounts(old: int, new: int) -> dict[str, str | None]:
    return {"old_usd": usd(old), "new_usd": usd(new), "difference_usd": usd(new - old)}
