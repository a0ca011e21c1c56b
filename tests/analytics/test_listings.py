"""What every answer shares: questions without what nobody asked for."""

import pytest

from analytics.reports.listings import asked


@pytest.mark.parametrize(
    ("params", "text", "known"),
    [
        ({"a": None, "b": 1, "c": 2}, "SELECT $c WHERE NULL IS NULL AND b = $b", {"b": 1, "c": 2}),
        ({"a": 3, "b": None, "c": 2}, "SELECT $c WHERE $a IS NULL", {"a": 3, "c": 2}),
        ({"a": 3, "b": 1, "c": None}, "SELECT NULL WHERE $a IS NULL AND b = $b", {"a": 3, "b": 1}),
    ],
)
def test_what_is_not_asked_for_costs_nothing(params: dict[str, int | None], text: str, known: dict[str, int]) -> None:
    """What brackets hold goes with its parameter, elsewhere an unknown one is NULL; comments name none."""
    sql = "-- A question with $b in [[brackets]].\nSELECT $c WHERE $a IS NULL[[ AND b = $b]]"

    assert asked(sql, params) == (text, known)
