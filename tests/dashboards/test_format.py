"""How values are shown."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import format

NOW_NS = 1_795_186_800 * 10**9


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "unpriced"),
        ("0", "$0"),
        ("0.0123", "$0.0123"),
        ("1.2", "$1.20"),
        ("1234.5", "$1,234.50"),
        ("12345.6", "$12,346"),
        ("0.123456", "$0.123"),
        ("0.000000000001", "<$0.000001"),
        ("-0.5", "-$0.500"),
    ],
)
def test_money(value: str | None, shown: str) -> None:
    """Dollars have the digits that matter, and an unknown price is never $0."""
    assert format.usd(value) == shown


@given(st.decimals(min_value=0, max_value=10**9, places=12, allow_nan=False))
def test_money_is_near_the_truth(value: Decimal) -> None:
    """What is shown is within 1 % of the amount or a millionth of a dollar, and only nothing is shown as $0."""
    shown = format.usd(value)

    assert (shown == "$0") == (value == 0)
    assert abs(Decimal(shown.strip("<").replace("$", "").replace(",", "")) - value) <= max(value / 100, Decimal("1e-6"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0, "0"), (9_999, "9,999"), (12_345, "12.3k"), (1_234_567, "1.23M"), (5 * 10**9, "5.00B")],
)
def test_tokens(value: int | None, shown: str) -> None:
    """Tokens have three or four digits."""
    assert format.tokens(value) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (None, "–"),
        (0.5, "500 µs"),
        (85, "85 ms"),
        (4200, "4.2 s"),
        (59_960, "1 min"),
        (200_000, "3 min 20 s"),
        (7_500_000, "2 h 5 min"),
        (3.6e8, "4 d 4 h"),
    ],
)
def test_durations(milliseconds: float | None, shown: str) -> None:
    """A time span has at most two units."""
    assert format.duration(milliseconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2026-11-20T15:00:00.000000Z", "just now"),
        ("2026-11-20T14:59:33.123456Z", "26 s ago"),
        ("2026-11-20T12:00:00Z", "3 h ago"),
        ("2026-10-01T12:00:00Z", "2026-10-01"),
        ("2026-11-20T15:01:00Z", "in 1 min"),
        (None, "–"),
    ],
)
def test_times_as_seen_from_now(value: str | None, shown: str) -> None:
    """Times are relative when near, dates when far."""
    assert format.ago(value, NOW_NS) == shown


@given(st.floats(min_value=0, max_value=1))
def test_only_all_is_a_hundred_percent(share: float) -> None:
    """A share that is not whole is neither shown as 100 % nor as 0 %."""
    shown = format.percent(share)

    assert (shown == "100 %") == (share == 1)
    assert (shown == "0 %") == (share == 0)


@given(st.text())
def test_inert_text(value: str) -> None:
    """Nothing that a terminal obeys or that reorders text is left, everything else is."""
    shown = format.inert(value)

    assert not set(shown) & set("\x1b\x00\x7f\u202e\u2066\u200f")
    assert value == "" or len(shown) == len(value)


@given(st.text() | st.integers() | st.none() | st.lists(st.text()))
def test_csv_cells_are_no_formulas(value: object) -> None:
    """No cell begins like a formula unless it is a number."""
    cell = format.csv_cell(value)

    assert not cell.startswith(("=", "+", "@", "\t", "\r")) or isinstance(value, int)
    assert not cell.startswith("-") or cell.lstrip("-").replace(".", "").isdecimal()


def test_change() -> None:
    """A change is a signed percentage, and nothing where there is nothing to compare with."""
    assert format.change("3", "2") == "+50 %"
    assert format.change("1", "2") == "-50 %"
    assert format.change("1", "0") is None
    assert format.change(None, "1") is None
