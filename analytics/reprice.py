"""Repricing: stored calls priced again with the book in force. Shown first, applied at once, audited, reversible.

`calls.cost_pusd` is the restated cost: what the book of `price_version` gives. A pass of the runs job prices every
trace that it looks at with the book in force, so after a change of prices the traces that get new spans are restated
at once and all others when someone reprices; then both agree to the last digit. `booked_pusd` stays what was computed
first; only a call that had no price until now is booked by its first one.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import polars as pl

from analytics import cost_bins, slo_events
from analytics.frames import query
from analytics.pricing.book import PriceBook
from analytics.pricing.charge import price_calls, price_tools
from collector.store import Cursor, Store

CHUNK_CALLS = 500_000
THREADS = 2  # that price chunks
KEEP_NS = 90 * 86_400 * 10**9  # a repricing can be taken back for so long

_DAY_NS = 86_400 * 10**9
_COUNTS = ("calls", "changed_calls", "old_priced_calls", "new_priced_calls")
_SCHEMA = {
    "day": pl.Date, "provider": pl.String, "model": pl.String, "tool": pl.String,
    **dict.fromkeys(_COUNTS, pl.UInt32), "old_pusd": pl.Int128, "new_pusd": pl.Int128,
}  # fmt: skip
_PRICED_BY = {"llm.call": price_calls, "tool.call": price_tools}
_PRICES = ("pricing", "cost_pusd", "avoided_pusd")
_CHANGED = {
    "place": pl.Int64, "pricing": pl.String, "cost_pusd": pl.Int64, "avoided_pusd": pl.Int64,
    "pricing_differs": pl.Boolean,
}  # fmt: skip
_Price = Callable[[pl.DataFrame, PriceBook], pl.DataFrame]
_Pair = tuple[pl.DataFrame, pl.DataFrame]


class RepriceError(ValueError):
    """A repricing cannot be taken back; the text says why and what to do."""


@dataclass(frozen=True)
class Selection:
    """Which calls to price again: those that started in [from_ns, to_ns), of one model or of everything."""

    from_ns: int = -(2**63)
    to_ns: int = 2**63 - 1
    model: str | None = None


@dataclass(frozen=True)
class Repriced:
    """What a repricing changes, or would change if `reprice` is None.

    `difference`, a row a day (UTC), provider and model or tool: `day`, `provider`, `model`, `tool`, `calls`,
    `changed_calls`, `old_priced_calls`, `new_priced_calls`, `old_pusd`, `new_pusd` (10^-12 USD, Int128).
    """

    reprice: int | None
    price_version: str
    calls: int
    changed_calls: int
    old_pusd: int
    new_pusd: int
    difference: pl.DataFrame


def preview(store: Store, book: PriceBook, selection: Selection = Selection()) -> Repriced:
    """What `reprice` would change. Writes nothing."""
    with store.cursor() as c:
        c.begin()
        _, difference = _compare(c, book, selection)
        c.rollback()
    return _summed(None, book.version, difference)


def reprice(store: Store, book: PriceBook, selection: Selection, *, actor: str, now_ns: int) -> Repriced:
    """Give the selected calls the prices of `book`, and their runs the new sums, all or nothing, with an audit row.

    No pass of the runs job may run meanwhile. Runs with findings become due, so that the next pass computes what they
    wasted.
    """
    with store.transaction() as c:
        changed, difference = _compare(c, book, selection)
        number = _next_number(c)
        result = _summed(number, book.version, difference)
        c.register("changed", changed)
        c.execute("CREATE TEMP TABLE places AS SELECT * FROM changed")
        c.execute(_KEEP, [number])
        cost_bins.touch_where(c, "rowid IN (SELECT place FROM places)", [], now_ns)
        slo_events.touch_places(c)
        for change, where in _APPLY:
            version = {"version": book.version} if "$version" in change else {}
            c.execute(f"UPDATE calls SET {change} FROM places n WHERE calls.rowid = n.place AND {where}", version)
        _restamp(c, selection, book.version)
        c.execute(query("reprice_runs"), {"reprice": number})
        c.execute("DROP TABLE places")
        _audit(c, result, selection, actor, now_ns, undoes=None)
        c.execute(_FORGET, [now_ns - KEEP_NS])
    return result


def undo(store: Store, number: int, *, actor: str, now_ns: int) -> Repriced:
    """Take a repricing back: its calls cost again what they cost before, where nothing has changed them since.

    The book in force stays: put the earlier price file back as well, else the next spans of a trace restate it.
    A call whose cost did not change keeps the newer version, for both give the same cost.
    Raises RepriceError for one that is unknown, taken back already, or too old.
    """
    with store.transaction() as c:
        asked = _rows(c, "SELECT from_ns, to_ns, model, price_version, undoes FROM reprices WHERE reprice = ?", number)
        if not asked or asked[0][4] is not None:
            raise RepriceError(f"{number} is not a repricing: list them with reprice --list")
        if _rows(c, "SELECT 1 FROM reprices WHERE undoes = ?", number):
            raise RepriceError(f"repricing {number} was taken back already")
        if not _rows(c, "SELECT 1 FROM reprice_changes WHERE reprice = ? LIMIT 1", number):
            raise RepriceError(f"repricing {number} changed no call, or is older than 90 days: nothing can be undone")
        from_ns, to_ns, model, version, _ = asked[0]
        c.execute(_FIND, [number])
        difference = c.sql(_UNDO_DIFFERENCE).pl()
        cost_bins.touch_where(c, "rowid IN (SELECT place FROM places)", [], now_ns)
        slo_events.touch_places(c)
        c.execute(_UNDO)
        c.execute(query("reprice_runs"), {"reprice": number})
        c.execute("DROP TABLE places")
        c.execute("DELETE FROM reprice_changes WHERE reprice = ?", [number])
        result = _summed(_next_number(c), version, difference.select(*_SCHEMA).cast(_SCHEMA))
        _audit(c, result, Selection(from_ns, to_ns, model), actor, now_ns, undoes=number)
    return result


_KEEP = """
INSERT INTO reprice_changes
SELECT ?, trace_hi, trace_lo, span_id, call_hash, start_ns, c.pricing, c.cost_pusd, c.avoided_pusd, c.wasted_pusd,
    c.price_version, c.booked_pusd, n.cost_pusd
FROM calls c JOIN places n ON c.rowid = n.place
"""
# Column by column, and only where it differs: five times as fast as all columns at once. A call that had no price
# until now is booked by its first one; a wasted call wastes what it costs.
_APPLY = (
    ("booked_version = $version", "calls.booked_pusd IS NULL AND n.cost_pusd IS NOT NULL"),
    ("booked_pusd = n.cost_pusd", "calls.booked_pusd IS NULL AND n.cost_pusd IS NOT NULL"),
    ("wasted_pusd = coalesce(n.cost_pusd, 0)", "calls.wasted_pusd > 0"),
    ("pricing = n.pricing", "n.pricing_differs"),
    ("avoided_pusd = n.avoided_pusd", "calls.avoided_pusd <> n.avoided_pusd"),
    ("cost_pusd = n.cost_pusd", "calls.cost_pusd IS DISTINCT FROM n.cost_pusd"),
)
_FORGET = "DELETE FROM reprice_changes WHERE reprice IN (SELECT reprice FROM reprices WHERE at_ns < ?)"
_FIND = """
CREATE TEMP TABLE places AS
SELECT c.rowid AS place, o.*, c.cost_pusd, c.call_group
FROM calls c
JOIN reprice_changes o ON c.start_ns = o.start_ns AND c.span_id = o.span_id AND c.trace_lo = o.trace_lo
    AND c.trace_hi = o.trace_hi AND c.call_hash IS NOT DISTINCT FROM o.call_hash
WHERE o.reprice = ? AND c.cost_pusd IS NOT DISTINCT FROM o.new_pusd
"""
_UNDO = """
UPDATE calls SET pricing = p.old_pricing, cost_pusd = p.old_pusd, avoided_pusd = p.old_avoided_pusd,
    wasted_pusd = p.old_wasted_pusd, price_version = p.old_version, booked_pusd = p.old_booked_pusd,
    booked_version = CASE WHEN p.old_booked_pusd IS NOT NULL THEN calls.booked_version END
FROM places p
WHERE calls.rowid = p.place
"""
_UNDO_DIFFERENCE = """
SELECT CAST(make_timestamp(start_ns // 1000) AS DATE) AS day, provider, model, tool, count(*) AS calls,
    count(*) AS changed_calls, count(cost_pusd) AS old_priced_calls, count(old_pusd) AS new_priced_calls,
    coalesce(sum(cost_pusd), 0)::HUGEINT AS old_pusd, coalesce(sum(old_pusd), 0)::HUGEINT AS new_pusd
FROM places JOIN call_groups USING (call_group)
GROUP BY ALL ORDER BY ALL
"""


def _compare(c: Cursor, book: PriceBook, selection: Selection) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Calls whose price changes (`place` and their new values), and the difference of all."""
    groups = c.sql(
        "SELECT call_group, kind, tenant, provider, model, request_model, service_tier, tool_server, tool "
        "FROM call_groups WHERE $model IS NULL OR model = $model",
        params={"model": selection.model},
    ).pl()
    groups = groups.with_columns(pl.col(pl.String).cast(pl.Categorical))  # numbers to join and to group by
    c.register("wanted", groups.select("call_group"))
    changed, differences = [pl.DataFrame(schema=_CHANGED)], [pl.DataFrame(schema=_SCHEMA)]
    for part, difference in _side_by_side(partial(_compared, groups=groups, book=book), _chunks(c, selection)):
        changed.append(part)
        differences.append(difference)
    keys = ["day", "provider", "model", "tool"]
    return pl.concat(changed), pl.concat(differences).group_by(keys).sum().sort(keys, nulls_last=True)


def _side_by_side(compared: Callable[[pl.DataFrame], _Pair], chunks: Iterator[pl.DataFrame]) -> Iterator[_Pair]:
    """The results in order, a few chunks at a time: most of the work lets go of the interpreter's lock."""
    with ThreadPoolExecutor(THREADS) as pool:
        begun = deque[Future[_Pair]]()
        for chunk in chunks:
            begun.append(pool.submit(compared, chunk))
            if len(begun) > THREADS:
                yield begun.popleft().result()
        yield from (future.result() for future in begun)


def _chunks(c: Cursor, selection: Selection) -> Iterator[pl.DataFrame]:
    params = {"from_ns": selection.from_ns, "to_ns": selection.to_ns}
    for batch in c.sql(query("reprice_calls"), params=params).to_arrow_reader(CHUNK_CALLS):
        frame = pl.from_arrow(batch)
        assert isinstance(frame, pl.DataFrame)
        yield frame


def _compared(calls: pl.DataFrame, groups: pl.DataFrame, book: PriceBook) -> _Pair:
    """The calls whose price changes, and the difference of all, both of one chunk; priced as `analytics.cost` does."""
    calls = calls.join(groups, on="call_group", maintain_order="left")
    priced = pl.concat(_priced(calls.filter(kind=kind), price, book) for kind, price in _PRICED_BY.items())
    differs = {name: pl.col(name).ne_missing(pl.col(f"new_{name}")) for name in _PRICES}
    priced = priced.with_columns(differs=pl.any_horizontal(differs.values()))
    new = {name: pl.col(f"new_{name}") for name in _PRICES}
    changed = priced.filter("differs").select("place", **new, pricing_differs=differs["pricing"])
    return changed, _difference(priced)


def _priced(
    calls: pl.DataFrame, price: Callable[[pl.DataFrame, PriceBook], pl.DataFrame], book: PriceBook
) -> pl.DataFrame:
    """Calls of one kind with `new_pricing`, `new_cost_pusd` and `new_avoided_pusd` by the book."""
    new = price(calls.drop(_PRICES), book)
    if "avoided_pusd" not in new.columns:  # tools have no cache
        new = new.with_columns(avoided_pusd=pl.lit(0, pl.Int64))
    new = new.select(
        new_pricing="pricing", new_cost_pusd="cost_pusd", new_avoided_pusd=pl.col("avoided_pusd").fill_null(0)
    )
    return calls.select("place", "start_ns", "provider", "model", "tool", *_PRICES).hstack(new.get_columns())


def _difference(priced: pl.DataFrame) -> pl.DataFrame:
    day = (pl.col("start_ns") // _DAY_NS).cast(pl.Int32).cast(pl.Date).alias("day")
    sums = priced.group_by(day, "provider", "model", "tool").agg(
        calls=pl.len(),
        changed_calls=pl.col("differs").sum(),
        old_priced_calls=pl.col("cost_pusd").count(),
        new_priced_calls=pl.col("new_cost_pusd").count(),
        old_pusd=pl.col("cost_pusd").cast(pl.Int128).sum(),
        new_pusd=pl.col("new_cost_pusd").cast(pl.Int128).sum(),
    )
    return sums.select(*_SCHEMA).cast(_SCHEMA)  # type: ignore[arg-type]


def _restamp(c: Cursor, selection: Selection, version: str) -> None:
    """All selected calls carry the version that their cost agrees with."""
    c.execute(
        "UPDATE calls SET price_version = $version WHERE price_version IS DISTINCT FROM $version "
        "AND ($model IS NULL OR call_group IN (SELECT call_group FROM wanted)) "
        "AND start_ns >= $from_ns AND start_ns < $to_ns",
        {"version": version, "from_ns": selection.from_ns, "to_ns": selection.to_ns, "model": selection.model},
    )


def _summed(number: int | None, version: str, difference: pl.DataFrame) -> Repriced:
    calls, changed, old, new = (
        int(difference[name].cast(pl.Int128).sum()) for name in ("calls", "changed_calls", "old_pusd", "new_pusd")
    )
    return Repriced(number, version, calls, changed, old, new, difference)


def _rows(c: Cursor, sql: str, *values: int) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = c.execute(sql, list(values)).fetchall()
    return found


def _next_number(c: Cursor) -> int:
    return int(_rows(c, "SELECT coalesce(max(reprice), 0) + 1 FROM reprices")[0][0])


def _audit(c: Cursor, done: Repriced, asked: Selection, actor: str, now_ns: int, *, undoes: int | None) -> None:
    c.execute(
        "INSERT INTO reprices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            done.reprice, undoes, now_ns, actor, asked.from_ns, asked.to_ns, asked.model, done.price_version,
            done.calls, done.changed_calls, Decimal(done.old_pusd), Decimal(done.new_pusd),
        ],
    )  # fmt: skip
