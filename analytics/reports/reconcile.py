"""A provider's export against what was recorded."""

from datetime import timedelta
from typing import Any

from typing_extensions import TypedDict

from analytics.frames import query
from analytics.owners import midnight_ns
from analytics.reconcile import TOKENS, reconcile
from analytics.reports import listings
from analytics.reports.listings import Lag
from analytics.reports.values import BadQuestion, usd
from analytics.usage_exports import ExportFileError, read_export
from collector.store import Store


class Reconciliation(TypedDict):
    """Differences by day (UTC) and model. An item: `day`, `model`, `reason`, `sentence`, the recorded `calls`,
    `unpriced_calls`, `unknown_calls`, and `billed`, `recorded` and `difference` (recorded less billed), each with
    `input_tokens`, `cache_read_tokens`, `cache_write_tokens`, `output_tokens`, `cost_usd`; None where the export
    does not tell, and of a recorded cost where there are calls and none is priced. `total` has the same three.
    """

    provider: str
    format: str
    items: list[dict[str, Any]]
    total: dict[str, dict[str, int | str | None]]
    next_cursor: None
    as_of: str
    lag: Lag


def reconcile_export(store: Store, now_ns: int, name: str, data: bytes) -> Reconciliation:
    """Compare an export with the calls of its days. Raises BadQuestion naming file, row, column and remedy."""
    try:
        provider, form, billed = read_export(name, data)
    except ExportFileError as e:
        raise BadQuestion("file", str(e)) from None
    if billed.is_empty():
        raise BadQuestion("file", f"{name}: no usage in it: export a period with usage")
    first, last = billed["day"].min(), billed["day"].max()
    extent = {"from_ns": midnight_ns(first), "to_ns": midnight_ns(last + timedelta(days=1))}  # type: ignore[arg-type, operator]
    with listings.reading(store) as c:
        recorded = c.sql(query("reconcile"), params=extent).pl()
        current = listings.currency(c, now_ns)
    rows = list(reconcile(billed, recorded, provider).iter_rows(named=True))
    counts = ("calls", "unpriced_calls", "unknown_calls")
    sums = {
        name: None if all(row[name] is None for row in rows) else sum(int(row[name] or 0) for row in rows)
        for name in (*counts, *(f"{side}{count}" for side in ("billed_", "") for count in (*TOKENS, "pusd")))
    }
    return {
        "provider": provider,
        "format": form,
        "items": [_item(row) for row in rows],
        "total": _sides(sums),
        "next_cursor": None,
        **current,
    }


def _item(row: dict[str, Any]) -> dict[str, Any]:
    named = {"day": str(row["day"]), "model": row["model"], "reason": row["reason"], "sentence": row["sentence"]}
    return named | {name: int(row[name]) for name in ("calls", "unpriced_calls", "unknown_calls")} | _sides(row)


def _sides(row: dict[str, Any]) -> dict[str, dict[str, int | str | None]]:
    sides: dict[str, dict[str, int | str | None]] = {"billed": {}, "recorded": {}, "difference": {}}
    unpriced = row["calls"] and row["calls"] == row["unpriced_calls"] + row["unknown_calls"]
    for count in (*TOKENS, "pusd"):
        billed, recorded = row[f"billed_{count}"], None if count == "pusd" and unpriced else int(row[count] or 0)
        amounts = (billed, recorded, None if billed is None or recorded is None else recorded - int(billed))
        for side, amount in zip(sides, amounts, strict=True):
            whole = None if amount is None else int(amount)
            sides[side]["cost_usd" if count == "pusd" else f"{count}_tokens"] = usd(whole) if count == "pusd" else whole
    return sides
