"""Why costs differ between two periods: what explains the difference of each group, in parts that add up. Pure.

The parts of a group that has calls in both periods (n: calls, p: priced calls, c: cost; 0 before, 1 now; i: a model or
tool of the group) follow the usual price-volume-mix analysis:

    volume    (n1 - n0) * c0 / n0               more or fewer calls, at what a call cost before
    coverage  (p1 - p0) * c0 / p0 - volume      calls that have a price now and had none, or the other way round
    price     sum of c1i - p1i * c0i / p0i      the same model or tool costs another amount a call
    mix       the rest                          calls went to dearer or cheaper models and tools

A group without calls before is new, one without calls now is gone. Amounts are whole 10^-12 USD: divisions round down
and `mix` takes what is left, so that the parts of each group add up to its difference to the last digit.
"""

from collections.abc import Sequence

import polars as pl

PARTS = ("new", "gone", "volume", "coverage", "mix", "price")
FINE = ("provider", "model", "tool_server", "tool")
"""What tells the calls of a group apart that can have different prices."""

_SIDES = ("before", "now")
_NUMBERS = ("calls", "priced", "cost")
_BOTH = [f"{number}_{side}" for number in _NUMBERS for side in _SIDES]


def drivers(cells: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """The difference of each group of `cells` by `keys`, and its parts.

    `cells`: rows of the query `costs` by `keys` and FINE, in two periods: `before` (bool), `llm_calls`, `tool_calls`,
    `priced_calls`, `cost_pusd` (Int128; null: nothing is priced). Calls of tools count where they have a price in
    either period: others cannot drive a cost. Returns a row a group: `keys`, `calls_before`, `calls_now`,
    `priced_before`, `priced_now`, `cost_before`, `cost_now`, `change` and PARTS, all Int128.
    """
    fine = _side_by_side(cells, list(dict.fromkeys((*keys, *FINE))))
    same = (pl.col("priced_before") > 0) & (pl.col("priced_now") > 0)
    dearer = pl.col("cost_now") - pl.col("priced_now") * pl.col("cost_before") // pl.col("priced_before")
    fine = fine.with_columns(price=pl.when(same).then(dearer).otherwise(0))
    sums = [pl.col(name).sum() for name in (*_BOTH, "price")]
    groups = fine.group_by(*keys).agg(sums) if keys else fine.select(sums)
    change = pl.col("cost_now") - pl.col("cost_before")
    is_new, is_gone = pl.col("calls_before") == 0, pl.col("calls_now") == 0
    in_both, was_priced = ~is_new & ~is_gone, pl.col("priced_before") > 0
    groups = groups.with_columns(
        change=change,
        new=pl.when(is_new).then(change).otherwise(0),
        gone=pl.when(is_gone & ~is_new).then(change).otherwise(0),
        volume=pl.when(in_both).then(_scaled("calls")).otherwise(0),
    )
    by_priced = pl.when(was_priced).then(_scaled("priced")).otherwise("change")
    groups = groups.with_columns(
        coverage=pl.when(in_both).then(by_priced - pl.col("volume")).otherwise(0),
        price=pl.when(in_both).then("price").otherwise(0),
    )
    rest = pl.col("change") - pl.sum_horizontal(part for part in PARTS if part != "mix")
    return groups.with_columns(mix=rest).select(*keys, *_BOTH, "change", *PARTS)


def _side_by_side(cells: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """The numbers of both periods in one row, as Int128; zero where there is nothing."""
    whole = {
        name: pl.col(name).cast(pl.Int128).fill_null(0)
        for name in ("llm_calls", "tool_calls", "priced_calls", "cost_pusd")
    }
    cells = cells.select(*keys, "before", **whole)
    sums = {}
    for side, of_side in zip(_SIDES, (pl.col("before"), ~pl.col("before")), strict=True):
        for name in whole:
            sums[f"{name}_{side}"] = pl.col(name).filter(of_side).sum()
    found = cells.group_by(keys, maintain_order=True).agg(**sums)
    costs = (pl.col("cost_pusd_before") != 0) | (pl.col("cost_pusd_now") != 0)
    rows = {}
    for side in _SIDES:
        tools = pl.when(costs).then(f"tool_calls_{side}").otherwise(0)
        rows[f"calls_{side}"] = pl.col(f"llm_calls_{side}") + tools
        rows[f"priced_{side}"] = pl.col(f"priced_calls_{side}") + tools
        rows[f"cost_{side}"] = pl.col(f"cost_pusd_{side}")
    return found.select(*keys, **{name: rows[name] for name in _BOTH})


def _scaled(number: str) -> pl.Expr:
    """What the change of a number makes at the cost before."""
    before, now = pl.col(f"{number}_before"), pl.col(f"{number}_now")
    return (now - before) * pl.col("cost_before") // before
