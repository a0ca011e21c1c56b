"""Whose calls are: the owner map, splits, and totals that stay equal."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.frames import query
from analytics.owners import OwnerEntry, OwnerFileError, OwnerMap, load_owners, shares_of, split
from analytics.reports.costs import list_costs
from collector.store import Store
from tests.stores import DEMO_NOW_NS, demo_store

COUNTED = (
    "llm_calls",
    "tool_calls",
    "input_tokens",
    "output_tokens",
    "priced_calls",
    "unpriced_calls",
    "unknown_calls",
)
AMOUNTS = ("cost_usd", "booked_usd", "wasted_usd", "avoided_usd")
SHARES = st.lists(st.integers(1, 40), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The demo store."""
    store = demo_store(tmp_path_factory.mktemp("owners") / "spanledger.duckdb", 80)
    yield store
    store.close()


@given(st.integers(-(2**63) + 1, 2**63 - 1), SHARES)
def test_parts_add_up_and_are_fair(amount: int, shares: list[int]) -> None:
    """A split adds up to the amount, and no part is a whole unit away from its exact share."""
    parts = split(amount, shares)
    assert sum(parts) == amount
    assert all(
        abs(part * sum(shares) - amount * share) < sum(shares) for part, share in zip(parts, shares, strict=True)
    )


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(-(2**63) + 1, 2**63 - 1), SHARES), min_size=1, max_size=20))
def test_the_store_splits_as_the_function_does(store: Store, cases: list[tuple[int, list[int]]]) -> None:
    """The macro of the queries gives the same parts."""
    frame = pl.DataFrame(
        {
            "amount": [amount for amount, shares in cases for _ in shares],
            "shares": [shares for _, shares in cases for _ in shares],
            "place": [place + 1 for _, shares in cases for place in range(len(shares))],
        },
        schema={"amount": pl.Int64, "shares": pl.List(pl.Int32), "place": pl.Int32},
    )
    with store.cursor() as c:
        c.execute(query("part_of"))
        c.register("cases", frame)
        found = c.execute("SELECT part_of(amount, shares, place) FROM cases").fetchall()
    assert [row[0] for row in found] == [part for amount, shares in cases for part in split(amount, shares)]


entries = st.lists(
    st.builds(
        OwnerEntry,
        st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9), min_size=1).map(lambda s: tuple(s.items())),
        tenant=st.sampled_from([None, "acme", "gl*", "ACME"]),
        agent=st.sampled_from([None, "*bot*", "research*"]),
        valid_from=st.sampled_from([None, date(2026, 11, 15), date(2026, 11, 18)]),
        valid_to=st.sampled_from([None, date(2026, 11, 19)]),
    ),
    max_size=4,
).map(lambda drawn: OwnerMap(tuple(drawn)))  # fmt: skip


@pytest.mark.slow
@settings(max_examples=25)
@given(
    owners=entries,
    keys=st.sets(st.sampled_from(["tenant", "agent", "model", "day", "run", "step", "tool"]), max_size=3),
)
def test_totals_stay_equal_to_the_last_digit(store: Store, owners: OwnerMap, keys: set[str]) -> None:
    """Grouped by owner and anything else, rows add up to the total without owners, and to the rows by owner alone."""
    plain = list_costs(store, DEMO_NOW_NS)["total"]
    by_owner = list_costs(store, DEMO_NOW_NS, group_by=["owner"], owners=owners)
    finer = list_costs(store, DEMO_NOW_NS, group_by=["owner", *keys], owners=owners, limit=10_000)
    assert by_owner["total"] == plain == finer["total"]
    for name in COUNTED:
        assert sum(row[name] for row in finer["items"]) == plain[name]  # type: ignore[literal-required]
    for name in AMOUNTS:
        amounts = [Decimal(str(dict(row)[name] or 0)) for row in finer["items"]]
        assert sum(amounts) == Decimal(str(dict(plain)[name] or 0))
    for whole in by_owner["items"]:
        parts = [row for row in finer["items"] if row["owner"] == whole["owner"]]
        assert sum(Decimal(row["cost_usd"] or 0) for row in parts) == Decimal(whole["cost_usd"] or 0)
        assert sum(row["llm_calls"] for row in parts) == whole["llm_calls"]


def test_the_last_entry_that_matches_holds_on_its_days() -> None:
    """Entries are read from the top; outside of its days an entry does not hold; the rest is unallocated."""
    owners = OwnerMap(
        (
            OwnerEntry((("sales", 1),), tenant="acme"),
            OwnerEntry(
                (("search", 3), ("billing", 1)), tenant="acme", valid_from=date(2026, 11, 2), valid_to=date(2026, 11, 2)
            ),
        )
    )
    groups = pl.DataFrame(
        {"call_group": [1, 2], "tenant": ["Acme", "other"], "agent": [None, "a"], "service": [None, None]},
        schema_overrides={"service": pl.String},
    )
    found = shares_of(groups, owners)
    assert found.filter(pl.col("call_group") == 1)["owner"].to_list() == ["sales", "search", "billing", "sales"]
    assert found.filter(pl.col("call_group") == 1)["share"].to_list() == [1, 3, 1, 1]
    assert found.filter(pl.col("call_group") == 2)["owner"].to_list() == [None]
    day = found.filter(pl.col("owner") == "search").row(0, named=True)
    assert day["valid_to_ns"] - day["valid_from_ns"] == 86_400 * 10**9


def test_a_file_is_read(tmp_path: Path) -> None:
    """Teams, cost centres, shares and days; without a file there is no owner."""
    path = tmp_path / "owners.toml"
    assert load_owners(path) == OwnerMap()
    path.write_text(
        '[[owner]]\nteam = "search"\ncost_centre = "CC-7"\nagent = "research*"\nvalid_from = 2026-01-01\n'
        '[[owner]]\nservice = "gateway"\nshares = { search = 60, billing = 40 }\n'
    )
    owners = load_owners(path)
    assert owners.entries[1].shares == (("search", 60), ("billing", 40))
    assert owners.cost_centre("search") == "CC-7"
    assert owners.cost_centre(None) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("owner = 1", "two brackets"),
        ("[[team]]\n", "write \\[\\[owner\\]\\]"),
        ("[[owner]]\n", "either team"),
        ('[[owner]]\nteam = "a"\nshares = {a = 1}', "either team"),
        ("[[owner]]\nshares = {a = 0}", "above 0"),
        ("[[owner]]\nshares = {a = 1.5}", "above 0"),
        ('[[owner]]\nteam = "a"\nmodel = "x"', "model: not known here"),
        ('[[owner]]\nteam = "a"\nvalid_from = "today"', "without quotes"),
        ('[[owner]]\nteam = "a"\nvalid_from = 2026-02-01\nvalid_to = 2026-01-01', "exchange them"),
        ('[[owner]]\nteam = "a"\ncost_centre = "1"\n[[owner]]\nteam = "a"\ncost_centre = "2"', "keep one"),
        ("[[owner", "not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_remedy(tmp_path: Path, text: str, said: str) -> None:
    """The error names the file, the place and what to write."""
    path = tmp_path / "owners.toml"
    path.write_text(text)
    with pytest.raises(OwnerFileError, match=said) as error:
        load_owners(path)
    assert str(path) in str(error.value)
