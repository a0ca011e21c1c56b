"""Costs: whatever the grouping, the parts add up to one total, to the last digit."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.reports.costs import GROUP_KEYS, CostTotal, list_costs
from analytics.reports.values import BadQuestion, pusd
from collector.store import Store
from tests.stores import DEMO_NOW_NS, demo_store, empty_store
from tests.tables import put

ROW_KEYS = [
    "runs", "llm_calls", "llm_errors", "tool_calls", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_tokens", "reasoning_tokens", "cost_usd", "booked_usd", "reported_usd", "wasted_usd", "avoided_usd",
    "priced_calls", "unpriced_calls", "unknown_calls", "priced_tokens",
]  # fmt: skip
SUMS = [name for name in ROW_KEYS if name != "runs"]

START_NS = 1_792_886_400 * 10**9  # 2026-10-25T00:00:00Z: the night when clocks in Europe go back
BIG = 2**61

GROUPS: list[dict[str, Any]] = [
    {"kind": "llm.call", "tenant": "acme", "model": "small", "provider": "a", "agent": "bot"},
    {"kind": "llm.call", "tenant": "acme", "model": "large", "provider": "a", "agent": None},
    {"kind": "llm.call", "tenant": "globex", "model": None, "provider": None, "agent": "bot"},
    {"kind": "llm.call", "tenant": "acme", "model": "small", "provider": "a", "agent": "bot"},  # a repeated description
    {"kind": "tool.call", "tenant": "acme", "tool": "search", "tool_server": "mcp", "agent": "bot"},
    {"kind": "tool.call", "tenant": "globex", "tool": "search", "tool_server": None, "agent": None},
]

amounts = st.one_of(st.none(), st.integers(0, 10**9), st.integers(0, BIG))


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """A row of `calls` that keeps its promises: a cost exactly where it is priced."""
    group = draw(st.integers(0, len(GROUPS) - 1))
    is_model = GROUPS[group]["kind"] == "llm.call"
    pricing = draw(st.sampled_from(("priced", "unpriced", "unknown") if is_model else ("priced", "none")))
    tokens = st.none() if pricing == "unknown" or not is_model else st.integers(0, 10**6)
    cost = draw(st.integers(0, BIG)) if pricing == "priced" else None
    return {
        "trace_hi": draw(st.integers(1, 3)), "trace_lo": 2**64 - 1, "run_span": draw(st.integers(0, 1)),
        "span_id": 1, "call_group": group, "start_ns": START_NS + draw(st.integers(0, 3 * 86_400)) * 10**9,
        "step": draw(st.integers(0, 3)), "status": draw(st.sampled_from(("ok", "error", "denied"))),
        "user": draw(st.sampled_from((None, "u", ""))), "session": draw(st.sampled_from((None, "s"))),
        "input_tokens": draw(tokens), "output_tokens": draw(tokens), "cache_read_tokens": draw(tokens),
        "pricing": pricing, "cost_pusd": cost, "booked_pusd": cost, "reported_pusd": draw(amounts),
        "wasted_pusd": draw(st.integers(0, BIG)), "avoided_pusd": draw(st.integers(0, BIG)),
    }  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Descriptions and runs; each test brings its calls."""
    store = empty_store(tmp_path_factory.mktemp("store") / "spanledger.duckdb")
    with store.transaction() as c:
        put(c, "call_groups", [{"call_group": n, "dialect": "d"} | group for n, group in enumerate(GROUPS)])
        for hi in (1, 2, 3):
            for span in (0, 1):
                put(c, "runs", [{"run_id": f"{hi}-{span}", "trace_hi": hi, "trace_lo": 2**64 - 1, "run_span": span}])
    yield store
    store.close()


def _write(store: Store, rows: list[dict[str, Any]]) -> None:
    with store.transaction() as c:
        c.execute("DELETE FROM calls")
        if rows:
            put(c, "calls", rows)


def _number(row: CostTotal, name: str) -> int:
    value = row[name]  # type: ignore[literal-required]
    return (pusd_of(value) if name.endswith("_usd") else value) or 0


def pusd_of(text: str | None) -> int:
    """Any amount as 10^-12 USD."""
    whole, _, part = (text or "0").partition(".")
    return int(whole) * 10**12 + int(part.ljust(12, "0"))


@pytest.mark.slow
@settings(max_examples=20)
@given(
    rows=st.lists(calls(), max_size=12),
    group_by=st.lists(st.sampled_from(GROUP_KEYS), unique=True, max_size=4),
    tz=st.sampled_from(("UTC", "Europe/Berlin", "Asia/Kathmandu")),
)
def test_every_grouping_adds_up_to_the_same_total(
    store: Store, rows: list[dict[str, Any]], group_by: list[str], tz: str
) -> None:
    """Whatever the calls, grouping and zone: the parts sum to the total, and no grouping changes it."""
    _write(store, rows)
    answer = list_costs(store, DEMO_NOW_NS, group_by=group_by, tz=tz, limit=10_000)
    plain = list_costs(store, DEMO_NOW_NS)

    assert answer["total"] == plain["total"]
    for name in SUMS:
        assert sum(_number(row, name) for row in answer["items"]) == _number(plain["total"], name)
    places = [tuple(row[key] for key in group_by) for row in answer["items"]]  # type: ignore[literal-required]
    assert len(set(places)) == len(places)
    assert plain["total"]["runs"] == len({(r["trace_hi"], r["run_span"]) for r in rows})
    assert _number(plain["total"], "cost_usd") == sum(r["cost_pusd"] or 0 for r in rows)
    assert _number(plain["total"], "wasted_usd") == sum(r["wasted_pusd"] for r in rows)


@pytest.mark.slow
@settings(max_examples=20)
@given(rows=st.lists(calls(), min_size=1, max_size=10))
def test_null_means_not_known_and_never_nothing(store: Store, rows: list[dict[str, Any]]) -> None:
    """cost_usd is None exactly where there are model calls and nothing is priced; the three kinds of calls add up."""
    _write(store, rows)
    for row in list_costs(store, DEMO_NOW_NS, group_by=["tenant", "model", "tool"])["items"]:
        mine = [
            r for r in rows
            if all(GROUPS[r["call_group"]].get(key) == row[key] for key in ("tenant", "model", "tool"))
        ]  # fmt: skip
        priced = [r["cost_pusd"] for r in mine if r["cost_pusd"] is not None]
        model_calls = [r for r in mine if GROUPS[r["call_group"]]["kind"] == "llm.call"]

        assert (row["cost_usd"] is None) == (bool(model_calls) and not priced)
        assert (
            row["priced_calls"] + row["unpriced_calls"] + row["unknown_calls"] == row["llm_calls"] == len(model_calls)
        )
        assert row["tool_calls"] == len(mine) - len(model_calls)
        assert (row["reported_usd"] is None) == all(r["reported_pusd"] is None for r in mine)


@settings(max_examples=12)
@given(rows=st.lists(calls(), min_size=1, max_size=8), tz=st.sampled_from(("UTC", "Europe/Berlin", "Asia/Kathmandu")))
def test_days_and_hours_are_those_of_the_zone(store: Store, rows: list[dict[str, Any]], tz: str) -> None:
    """Calls fall on the local day and in the local hour of their start; the repeated hour of October is two hours."""
    _write(store, rows)
    local = [datetime.fromtimestamp(r["start_ns"] / 1e9, UTC).astimezone(ZoneInfo(tz)) for r in rows]
    days = {row["day"] for row in list_costs(store, DEMO_NOW_NS, group_by=["day"], tz=tz)["items"]}
    hours = {row["hour"] for row in list_costs(store, DEMO_NOW_NS, group_by=["hour"], tz=tz)["items"]}

    assert days == {f"{t:%Y-%m-%d}" for t in local}
    assert hours == {t.replace(minute=0, second=0).isoformat().replace("+00:00", "Z") for t in local}


def test_a_cost_row_has_the_promised_keys(store: Store) -> None:
    """A row is its group keys in the order asked, then the contract's keys; the total is the latter."""
    _write(store, [])
    put_one = {"trace_hi": 1, "trace_lo": 2**64 - 1, "start_ns": START_NS, "status": "ok", "pricing": "unknown"}
    _write(store, [put_one])
    answer = list_costs(store, DEMO_NOW_NS, group_by=["model", "day", "owner"])

    assert list(answer["items"][0]) == ["model", "day", "owner", *ROW_KEYS]
    assert list(answer["total"]) == ROW_KEYS


def test_pages_of_groups_join_and_keep_the_total(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Following next_cursor gives every group once, and each page has the whole total."""
    store = demo_store(tmp_path_factory.mktemp("store") / "spanledger.duckdb", runs=60)
    keys = ["tenant", "model", "day", "user"]
    whole = list_costs(store, DEMO_NOW_NS, group_by=keys, limit=10_000)
    walked, cursor = [], None
    while True:
        page = list_costs(store, DEMO_NOW_NS, group_by=keys, limit=13, cursor=cursor)
        assert page["total"] == whole["total"]
        walked += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
    sliced = list_costs(store, DEMO_NOW_NS, tenant="acme", model="gpt-5-mini")["total"]
    store.close()

    assert walked == whole["items"]
    mine = [row for row in whole["items"] if (row["tenant"], row["model"]) == ("acme", "gpt-5-mini")]
    assert pusd("cost", sliced["cost_usd"]) == sum(pusd_of(row["cost_usd"]) for row in mine)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"group_by": ["colour"]}, "group_by"),
        ({"tz": "Nowhere"}, "tz"),
        ({"step": "two"}, "step"),
        ({"limit": 0}, "limit"),
    ],
)
def test_questions_that_mean_nothing_are_refused(store: Store, asked: dict[str, Any], field: str) -> None:
    """The refusal names the parameter at fault."""
    with pytest.raises(BadQuestion) as refusal:
        list_costs(store, DEMO_NOW_NS, **asked)

    assert refusal.value.field == field
