"""Bins: whatever was summed already and whatever changed since, costs come out as from the calls alone."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import cost_bins
from analytics.cost_bins import QUIET_NS
from analytics.minute_bins import DAY, HOUR, MINUTE_NS, Mark, extents, whole_days
from analytics.owned_calls import NO_OWNERS
from analytics.reports.costs import groups
from collector.store import Store
from tests.stores import empty_store
from tests.tables import put

START_NS = 1_792_886_400 * 10**9
DAYS = 4
DAY_NS = DAY * MINUTE_NS
LATER_NS = START_NS + (DAYS + 1) * DAY * MINUTE_NS
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


_MINUTES = st.one_of(st.integers(0, 4 * HOUR - 1), st.integers(0, DAYS * DAY - 1))


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """A call in the days after START_NS, of one of a few hours."""
    cost = draw(st.one_of(st.none(), st.integers(0, 2**62)))
    return {
        "call_group": draw(st.integers(0, len(GROUPS) - 1)), "span_id": draw(st.integers(1, 2**63)),
        "start_ns": START_NS + draw(_MINUTES) * MINUTE_NS + draw(st.integers(0, MINUTE_NS - 1)),
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


def _asked(store: Store, from_ns: int, to_ns: int, split_ns: int, unit: str) -> list[list[Any]]:
    keys = ("tenant", "model", "tool", unit)
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
    ages=st.lists(st.one_of(st.integers(0, 5 * HOUR), st.integers(0, DAYS * DAY)), min_size=4, max_size=4),
    bounds=st.lists(st.integers(0, DAYS * DAY * MINUTE_NS), min_size=3, max_size=3, unique=True),
    deleted=_MINUTES,
    unit=st.sampled_from(("day", "hour")),
)
def test_bins_and_calls_tell_the_same(
    store: Store, writes: list[list[dict[str, Any]]], ages: list[int], bounds: list[int], deleted: int, unit: str
) -> None:
    """After any writes, deletions and refreshes: sums over any two periods are those of the calls."""
    with store.transaction() as c:
        for table in ("calls", "cost_bins", "cost_days", "cost_bin_marks", "touched_cost_minutes"):
            c.execute(f"DELETE FROM {table}")
    from_ns, split_ns, to_ns = (START_NS + ns for ns in sorted(bounds))
    for rows, age in zip(writes, ages, strict=False):
        now_ns = START_NS + age * MINUTE_NS
        _write(store, rows, now_ns)
        cost_bins.refresh(store, now_ns + QUIET_NS * (age % 2))
        with_bins, without = _asked(store, from_ns, to_ns, split_ns, unit)
        assert with_bins == without
    _delete(store, START_NS // MINUTE_NS + deleted, LATER_NS)
    for now_ns in (LATER_NS, LATER_NS + QUIET_NS):
        cost_bins.refresh(store, now_ns)
        with_bins, without = _asked(store, from_ns, to_ns, split_ns, unit)
        assert with_bins == without


def test_old_hours_become_one_bin_a_description(store: Store) -> None:
    """What is quiet is summed by minute, tens of minutes, hours and days that ended a while ago as a whole, repeated
    descriptions together."""
    with store.transaction() as c:
        for table in ("calls", "cost_bins", "cost_days", "cost_bin_marks", "touched_cost_minutes"):
            c.execute(f"DELETE FROM {table}")
    rows = [
        {"start_ns": START_NS + n * MINUTE_NS, "call_group": group, "status": "ok", "pricing": "priced", "cost_pusd": 1}
        for n in range(70)
        for group in (0, 2)
    ]
    _write(store, rows, START_NS + 70 * MINUTE_NS)
    now_ns = START_NS + 70 * MINUTE_NS + QUIET_NS

    assert cost_bins.refresh(store, now_ns) == 16
    assert _sizes(store) == [(1, 10, 20), (10, 6, 120)]
    assert cost_bins.refresh(store, now_ns + 10 * MINUTE_NS) == 2
    assert _sizes(store) == [(10, 1, 20), (60, 1, 120)]
    cost_bins.refresh(store, now_ns + DAY * MINUTE_NS)
    with store.cursor() as c:
        assert c.execute("SELECT day, calls::INTEGER FROM cost_days").fetchall() == [(START_NS // DAY_NS, 140)]


def _sizes(store: Store) -> list[tuple[int, ...]]:
    with store.cursor() as c:
        sizes = "SELECT minutes, count(*), sum(calls)::INTEGER FROM cost_bins GROUP BY 1 ORDER BY 1"
        return c.execute(sizes).fetchall()


@given(
    first=st.integers(0, 300), length=st.integers(1, 300), hours=st.integers(0, 10), tens=st.integers(0, 60),
    touched=st.frozensets(st.integers(0, 600), max_size=5),
    bounds=st.tuples(st.integers(-50, 700), st.integers(0, 700)),
)  # fmt: skip
def test_extents_cover_the_period_once(
    first: int, length: int, hours: int, tens: int, touched: frozenset[int], bounds: tuple[int, int]
) -> None:
    """Stretches of bins and of calls are apart, together the whole period, and no bin is cut or holds a change."""
    mark = Mark(first, hours * HOUR, first + length, touched, tens * 10)
    from_ns, to_ns = bounds[0] * MINUTE_NS + 7, (bounds[0] + bounds[1] + 1) * MINUTE_NS + 9
    bins, rest = extents(mark, from_ns, to_ns)
    pieces = sorted([*rest, *((a * MINUTE_NS, b * MINUTE_NS) for a, b in bins)])

    assert [a for a, _ in pieces] == [from_ns, *(b for _, b in pieces[:-1])]
    assert pieces[-1][1] == to_ns
    for a, b in bins:
        assert not touched & set(range(a, b))
        assert mark.first <= a < b <= mark.end
        assert (mark.bin_of(a)[0], mark.bin_of(b)[0]) == (a, b)


@given(bounds=st.lists(st.integers(0, 5 * DAY), min_size=4, max_size=4, unique=True), hours=st.integers(0, 5 * 24))
def test_whole_days_cover_the_minutes_once(bounds: list[int], hours: int) -> None:
    """Days and what is left of the minutes are apart, together the stretches, and no day is younger than the hours."""
    a, b, c, d = sorted(bounds)
    days, rest = whole_days(Mark(0, hours * HOUR, 5 * DAY), [(a, b), (c, d)])
    pieces = sorted([*rest, *((first * DAY, last * DAY) for first, last in days)])

    assert {minute for first, last in pieces for minute in range(first, last)} == {*range(a, b), *range(c, d)}
    assert sum(last - first for first, last in pieces) == b - a + d - c
    assert all(last * DAY <= hours * HOUR for _, last in days)
