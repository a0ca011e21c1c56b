"""Bins: whatever was summed already and whatever changed since, costs come out as from the calls alone."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import cost_bins
from analytics.cost_bins import QUIET_NS
from analytics.minute_bins import HOUR, MINUTE_NS, Mark, extents
from analytics.owned_calls import NO_OWNERS
from analytics.reports.costs import groups
from collector.store import Store
from tests.stores import empty_store
from tests.tables import put

START_NS = 1_792_886_400 * 10**9
LATER_NS = START_NS + 5 * HOUR * MINUTE_NS
GROUPS: list[dict[str, Any]] = [
    {"kind": "llm.call", "tenant": "acme", "model": "small"},
    {"kind": "llm.call", "tenant": "globex", "model": "large"},
    {"kind": "llm.call", "tenant": "acme", "model": "small"},  # a repeated description
    {"kind": "tool.call", "tenant": "acme", "tool": "search"},
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Descriptions; each test brings its calls."""
    store = empty_store(tmp_path_factory.mktemp("store") / "spanledger.duckdb")
    with store.transaction() as c:
        put(c, "call_groups", [{"call_group": n, "dialect": "d"} | group for n, group in enumerate(GROUPS)])
    yield store
    store.close()


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """A call in the four hours after START_NS."""
    cost = draw(st.one_of(st.none(), st.integers(0, 2**62)))
    return {
        "call_group": draw(st.integers(0, len(GROUPS) - 1)), "span_id": draw(st.integers(1, 2**63)),
        "start_ns": START_NS + draw(st.integers(0, 4 * HOUR - 1)) * MINUTE_NS + draw(st.integers(0, MINUTE_NS - 1)),
        "status": draw(st.sampled_from(("ok", "error"))), "cost_pusd": cost,
        "pricing": "unpriced" if cost is None else "priced", "input_tokens": draw(st.one_of(st.none(), st.just(7))),
    }  # fmt: skip


def _write(store: Store, rows: list[dict[str, Any]], now_ns: int) -> None:
    with store.transaction() as c:
        put(c, "calls", rows)
        cost_bins.touch(c, [row["start_ns"] // MINUTE_NS for row in rows], now_ns)


def _delete(store: Store, minute: int, now_ns: int) -> None:
    with store.transaction() as c:
        condition = f"start_ns // {MINUTE_NS} = ?"
        cost_bins.touch_where(c, condition, [minute], now_ns)
        c.execute(f"DELETE FROM calls WHERE {condition}", [minute])


def _asked(store: Store, from_ns: int, to_ns: int, split_ns: int) -> list[list[Any]]:
    keys = ("tenant", "model", "tool", "hour")
    answers = []
    for marked in (True, False):
        with store.cursor() as c:
            c.begin()
            if not marked:
                c.execute("DELETE FROM cost_bin_marks")
            asked = groups(c, keys, from_ns, to_ns, "UTC", NO_OWNERS, {}, split_ns=split_ns, with_runs=False)
            answers.append(sorted(asked.fetchall(), key=str))
            c.rollback()
    return answers


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    writes=st.lists(st.lists(calls(), min_size=1, max_size=6), min_size=1, max_size=4),
    ages=st.lists(st.integers(0, 5 * HOUR), min_size=4, max_size=4),
    bounds=st.lists(st.integers(0, 4 * HOUR * MINUTE_NS), min_size=3, max_size=3, unique=True),
    deleted=st.integers(0, 4 * HOUR - 1),
)
def test_bins_and_calls_tell_the_same(
    store: Store, writes: list[list[dict[str, Any]]], ages: list[int], bounds: list[int], deleted: int
) -> None:
    """After any writes, deletions and refreshes: sums over any two periods are those of the calls."""
    with store.transaction() as c:
        for table in ("calls", "cost_bins", "cost_bin_marks", "touched_cost_minutes"):
            c.execute(f"DELETE FROM {table}")
    from_ns, split_ns, to_ns = (START_NS + ns for ns in sorted(bounds))
    for rows, age in zip(writes, ages, strict=False):
        now_ns = START_NS + age * MINUTE_NS
        _write(store, rows, now_ns)
        cost_bins.refresh(store, now_ns + QUIET_NS * (age % 2))
        with_bins, without = _asked(store, from_ns, to_ns, split_ns)
        assert with_bins == without
    _delete(store, START_NS // MINUTE_NS + deleted, LATER_NS)
    for now_ns in (LATER_NS, LATER_NS + QUIET_NS):
        cost_bins.refresh(store, now_ns)
        with_bins, without = _asked(store, from_ns, to_ns, split_ns)
        assert with_bins == without


def test_old_hours_become_one_bin_a_description(store: Store) -> None:
    """What is quiet is summed by minute, hours that ended a while ago as a whole, repeated descriptions together."""
    with store.transaction() as c:
        for table in ("calls", "cost_bins", "cost_bin_marks", "touched_cost_minutes"):
            c.execute(f"DELETE FROM {table}")
    rows = [
        {"start_ns": START_NS + n * MINUTE_NS, "call_group": group, "status": "ok", "pricing": "priced", "cost_pusd": 1}
        for n in range(70)
        for group in (0, 2)
    ]
    _write(store, rows, START_NS + 70 * MINUTE_NS)
    now_ns = START_NS + 70 * MINUTE_NS + QUIET_NS

    assert cost_bins.refresh(store, now_ns) == 70
    assert cost_bins.refresh(store, now_ns + 10 * MINUTE_NS) == 1
    with store.cursor() as c:
        found = c.execute("SELECT minutes, count(*), sum(calls)::INTEGER FROM cost_bins GROUP BY 1 ORDER BY 1")
        assert found.fetchall() == [(1, 10, 20), (60, 1, 120)]


@given(
    first=st.integers(0, 300), length=st.integers(1, 300), hours=st.integers(0, 10),
    touched=st.frozensets(st.integers(0, 600), max_size=5),
    bounds=st.tuples(st.integers(-50, 700), st.integers(0, 700)),
)  # fmt: skip
def test_extents_cover_the_period_once(
    first: int, length: int, hours: int, touched: frozenset[int], bounds: tuple[int, int]
) -> None:
    """Stretches of bins and of calls are apart, together the whole period, and no bin is cut or holds a change."""
    mark = Mark(first, hours * HOUR, first + length, touched)
    from_ns, to_ns = bounds[0] * MINUTE_NS + 7, (bounds[0] + bounds[1] + 1) * MINUTE_NS + 9
    bins, rest = extents(mark, from_ns, to_ns)
    pieces = sorted([*rest, *((a * MINUTE_NS, b * MINUTE_NS) for a, b in bins)])

    assert [a for a, _ in pieces] == [from_ns, *(b for _, b in pieces[:-1])]
    assert pieces[-1][1] == to_ns
    for a, b in bins:
        assert not touched & set(range(a, b))
        assert mark.first <= a < b <= mark.end
        assert (mark.bin_of(a)[0], mark.bin_of(b)[0]) == (a, b)
