"""Spans that arrive in a store little by little, and what the jobs have booked for them."""

from typing import Any

from collector.store import Store
from tests.analytics.spans import Span, stored
from tests.stores import write

TABLES = ("runs", "calls", "findings", "runless_traces", "watermarks", "call_groups", "booking_corrections")
SPAN_TABLES = ("span_log", "message_tool_calls", "facets", "identities", "sources")


def clear(store: Store, *tables: str) -> None:
    """Delete all rows of the tables."""
    with store.cursor() as c:
        for table in tables:
            c.execute(f"DELETE FROM {table}")


def put(store: Store, spans: list[Span], parts: list[Span] | None = None) -> None:
    """Store spans and the tool calls that messages name; descriptions get new ids each time."""
    rows = stored(spans)
    for part_row in parts or []:
        rows.add("message_tool_calls", **part_row)
    with store.transaction() as c:
        for table, column in (("facets", "facet"), ("identities", "identity"), ("sources", "source")):
            first = c.execute(f"SELECT coalesce(max({column}), 0) FROM {table}").fetchall()[0][0]
            for row in rows.tables.get(table, []):
                row[column] += first
            for row in rows.tables.get("span_log", []):
                row[column] += first
        write(c, rows)


def one(store: Store, query: str) -> Any:
    """A single value."""
    with store.cursor() as c:
        return c.execute(query).fetchall()[0][0]


def booked(store: Store) -> dict[tuple[Any, ...], int]:
    """What each call is booked at."""
    query = "SELECT trace_hi, trace_lo, span_id, call_hash, booked_pusd FROM calls WHERE booked_pusd IS NOT NULL"
    with store.cursor() as c:
        return {tuple(row[:4]): row[4] for row in c.execute(query).fetchall()}


class Booker:
    """Adds up by itself what is booked: every first booking of a call, and every correction as it is written."""

    def __init__(self) -> None:
        self.total, self._before = 0, dict[tuple[Any, ...], int]()

    def look(self, store: Store) -> int:
        """After a pass; what the calls are booked at."""
        now = booked(store)
        self.total += sum(amount for call, amount in now.items() if call not in self._before)
        self._before = now
        corrected = one(
            store, "SELECT coalesce(sum(rebooked_pusd - reversed_pusd), 0)::BIGINT FROM booking_corrections"
        )
        assert self.total + corrected == sum(now.values())
        return sum(now.values())
