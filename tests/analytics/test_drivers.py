"""Drivers of a difference: the parts add up, and each says what it means."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.drivers import PARTS, drivers

SCHEMA = {
    "agent": pl.String, "provider": pl.String, "model": pl.String, "tool_server": pl.String, "tool": pl.String,
    "before": pl.Boolean, "llm_calls": pl.Int64, "tool_calls": pl.Int64, "priced_calls": pl.Int64,
    "cost_pusd": pl.Int128,
}  # fmt: skip
USD = 10**12


def cell(agent: str | None, before: bool, calls: int, cost_pusd: int | None, **values: Any) -> dict[str, Any]:
    """Model calls of an agent in one period, all priced."""
    own = {"agent": agent, "before": before, "llm_calls": calls, "priced_calls": calls, "cost_pusd": cost_pusd}
    return dict.fromkeys(SCHEMA) | {"provider": "p", "model": "m", "tool_calls": 0} | own | values


@st.composite
def cells(draw: st.DrawFn) -> dict[str, Any]:
    """A cell that keeps its promises: no more priced calls than calls, a cost exactly where one is priced."""
    calls = draw(st.integers(1, 10**6))
    priced = draw(st.sampled_from((0, calls // 2, calls)))
    is_tool = draw(st.booleans())
    cost = draw(st.integers(0, 2**80)) if priced or is_tool else None
    return cell(
        draw(st.sampled_from((None, "a", "b"))), draw(st.booleans()), 0 if is_tool else calls, cost,
        tool_calls=calls if is_tool else 0, priced_calls=0 if is_tool else priced, tool="t" if is_tool else None,
        model=None if is_tool else draw(st.sampled_from(("small", "large", None))),
    )  # fmt: skip


def _run(*rows: dict[str, Any]) -> dict[str, Any]:
    return drivers(pl.DataFrame(rows, schema=SCHEMA), ["agent"]).row(0, named=True)


@given(rows=st.lists(cells(), max_size=12), keys=st.sampled_from(([], ["agent"], ["agent", "model"], ["tool"])))
def test_parts_add_up_to_the_last_digit(rows: list[dict[str, Any]], keys: list[str]) -> None:
    """Whatever the cells: the parts of each group are its difference, and all groups are the difference of the sums."""
    found = drivers(pl.DataFrame(rows, schema=SCHEMA), keys)

    for row in found.iter_rows(named=True):
        assert sum(row[part] for part in PARTS) == row["change"] == row["cost_now"] - row["cost_before"]
    assert sum(found["change"]) == sum((r["cost_pusd"] or 0) * (-1 if r["before"] else 1) for r in rows)
    assert not any(found[part].null_count() for part in PARTS)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([cell("a", False, 3, 6 * USD)], {"new": 6}),
        ([cell("a", True, 3, 6 * USD)], {"gone": -6}),
        ([cell("a", True, 10, 10 * USD), cell("a", False, 15, 15 * USD)], {"volume": 5}),
        ([cell("a", True, 10, 10 * USD), cell("a", False, 10, 14 * USD)], {"price": 4}),
        (
            [cell("a", True, 10, 10 * USD, priced_calls=5), cell("a", False, 10, 20 * USD)],
            {"coverage": 10},
        ),
        (
            [
                *(cell("a", before, n, n * USD, model="small") for before, n in ((True, 8), (False, 4))),
                *(cell("a", before, n, 5 * n * USD, model="large") for before, n in ((True, 2), (False, 6))),
            ],
            {"mix": 16},
        ),
        ([cell("a", True, 4, None, priced_calls=0), cell("a", False, 4, 8 * USD)], {"coverage": 8}),
        (
            [cell("a", b, 0, 0, tool="free", model=None, tool_calls=n) for b, n in ((True, 1), (False, 99))]
            + [cell("a", True, 10, 10 * USD), cell("a", False, 10, 10 * USD)],
            {},
        ),
    ],
)
def test_each_part_has_its_own_cause(rows: list[dict[str, Any]], expected: dict[str, int]) -> None:
    """New, gone, more calls, another price, calls that had no price, dearer models; free tools drive nothing."""
    found = _run(*rows)

    assert {part: found[part] // USD for part in PARTS if found[part]} == expected
