"""Period close: the totals of a month are frozen; what changes later becomes corrections.

A closed month keeps its sums at the finest grouping (`month_costs`, entry 0). Late spans, repricing and a changed
owner map do not touch them: each time corrections are recorded, the difference to what the calls come to by then is
appended as rows of its own. Frozen sums and corrections together are what a report of the month shows.
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from analytics import upkeep
from analytics.frames import query
from analytics.owned_calls import NO_OWNERS, name_owners
from analytics.owners import OwnerMap, midnight_ns
from collector.store import Cursor, Store

KEYS = (
    "day", "tenant", "owner", "agent", "service", "environment", "provider", "model", "tool_server", "tool",
)  # fmt: skip
SUMS = (
    "llm_calls", "llm_errors", "tool_calls", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_tokens", "reasoning_tokens", "cost_pusd", "booked_pusd", "reported_pusd", "wasted_pusd",
    "avoided_pusd", "priced_calls", "unpriced_calls", "unknown_calls", "priced_tokens",
)  # fmt: skip


class CloseError(ValueError):
    """A month cannot be closed or shown; the text says why and what to do."""


@dataclass(frozen=True)
class ClosedMonth:
    """A closed month: what it came to when it was closed and what corrections add, in 10^-12 USD; its calls by now."""

    month: str
    closed_ns: int
    actor: str
    frozen_pusd: int
    corrections_pusd: int
    corrections: int
    llm_calls: int
    priced_calls: int
    unpriced_calls: int
    unknown_calls: int


def close_month(store: Store, month: str, *, owners: OwnerMap = NO_OWNERS, actor: str, now_ns: int) -> ClosedMonth:
    """Freeze a month (UTC, `2026-10`) that has ended. Raises CloseError."""
    from_ns, to_ns = extent(month)
    if now_ns < to_ns:
        raise CloseError(f"month {month}: it has not ended: close it after its last day (UTC)")
    with store.transaction() as c:
        if _rows(c, "SELECT 1 FROM closed_months WHERE month = ?", month):
            raise CloseError(f"month {month}: it is closed already: later changes become corrections")
        if unread := _rows(c, query("lag"))[0][0]:
            raise CloseError(f"month {month}: {unread} stored spans are not in the totals yet: try again in a moment")
        name_owners(c, owners)
        c.execute(_FREEZE, {"month": month, "now_ns": now_ns, "from_ns": from_ns, "to_ns": to_ns})
        c.execute("INSERT INTO closed_months VALUES (?, ?, ?)", [month, now_ns, actor])
    return next(closed for closed in closed_months(store) if closed.month == month)


def record_corrections(store: Store, owners: OwnerMap, now_ns: int) -> int:
    """Append what has changed in closed months since the last time; how many rows. A job of the schedule.

    A month of which retention may have deleted calls stays as it is.
    """
    appended = 0
    with store.transaction() as c:
        horizon = _rows(c, "SELECT value FROM store_facts WHERE fact = ?", upkeep.HORIZON)
        horizon_ns = int(horizon[0][0]) if horizon else None
        name_owners(c, owners)
        for (month,) in _rows(c, "SELECT month FROM closed_months ORDER BY month"):
            from_ns, to_ns = extent(month)
            if horizon_ns is None or horizon_ns < from_ns:
                asked = {"month": month, "now_ns": now_ns, "from_ns": from_ns, "to_ns": to_ns}
                c.execute(_CORRECT, asked)
                appended += int(c.fetchall()[0][0])
    return appended


def closed_months(store: Store) -> list[ClosedMonth]:
    """All closed months, the latest first."""
    with store.cursor() as c:
        return [ClosedMonth(*row[:3], *map(int, row[3:])) for row in _rows(c, _CLOSED)]


def month_costs(store: Store, month: str, group_by: tuple[str, ...]) -> pl.DataFrame:
    """The rows of a closed month by any of KEYS: the keys, `entry` (0: as closed; 1, 2 ...: corrections), `at_ns`,
    then SUMS as Int128. They add up to what the month comes to now. Raises CloseError.
    """
    if unknown := [key for key in group_by if key not in KEYS]:
        raise CloseError(f"{unknown[0]!r} is not a key of closed months: use {', '.join(KEYS)}")
    with store.cursor() as c:
        if not _rows(c, "SELECT 1 FROM closed_months WHERE month = ?", month):
            raise CloseError(f"month {month}: it is not closed: run spanledger close {month}")
        columns = ", ".join(("entry", "at_ns", *group_by))
        sums = ", ".join(f"sum({name})::DECIMAL(38, 0) AS {name}" for name in SUMS)
        found: pl.DataFrame = c.sql(
            f"SELECT {columns}, {sums} FROM month_costs WHERE month = $month GROUP BY {columns} ORDER BY ALL",
            params={"month": month},
        ).pl()
    return found.select(*group_by, "entry", "at_ns", *(pl.col(name).cast(pl.Int128) for name in SUMS))


def extent(month: str) -> tuple[int, int]:
    """Begin and end of a month in ns since 1970, UTC. Raises CloseError."""
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month, re.ASCII) or not "1970" <= month[:4] < "2262":
        raise CloseError(f"month {month!r}: write it as year and month, such as 2026-10")
    first = date(int(month[:4]), int(month[5:]), 1)
    return midnight_ns(first), midnight_ns((first + timedelta(days=31)).replace(day=1))


_FREEZE = f"""
INSERT INTO month_costs BY NAME
SELECT $month AS month, 0 AS entry, $now_ns AS at_ns, * FROM ({query("month_sums")})
"""
_CORRECT = f"""
INSERT INTO month_costs BY NAME
SELECT $month AS month, $now_ns AS at_ns,
    (SELECT coalesce(max(entry), 0) + 1 FROM month_costs WHERE month = $month) AS entry,
    {", ".join(KEYS)}, {", ".join(f"sum({name}) AS {name}" for name in SUMS)}
FROM (
    SELECT * FROM ({query("month_sums")})
    UNION ALL BY NAME
    SELECT {", ".join(KEYS)}, {", ".join(f"-{name} AS {name}" for name in SUMS)} FROM month_costs WHERE month = $month
)
GROUP BY {", ".join(KEYS)}
HAVING {" OR ".join(f"sum({name}) <> 0" for name in SUMS)}
"""
_CLOSED = """
SELECT month, closed_ns, actor,
    coalesce(sum(cost_pusd) FILTER (entry = 0), 0)::HUGEINT, coalesce(sum(cost_pusd) FILTER (entry > 0), 0)::HUGEINT,
    count(DISTINCT entry) FILTER (entry > 0), coalesce(sum(llm_calls), 0), coalesce(sum(priced_calls), 0),
    coalesce(sum(unpriced_calls), 0), coalesce(sum(unknown_calls), 0)
FROM closed_months LEFT JOIN month_costs USING (month)
GROUP BY ALL ORDER BY month DESC
"""


def _rows(c: Cursor, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = c.execute(sql, list(values)).fetchall()
    return found
