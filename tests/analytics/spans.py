"""Spans for tests of the jobs: as the frame that the jobs read, or as rows of the store."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from analytics.frames import query
from tests.stores import empty_store
from tests.traces import Rows

SECOND = 10**9
FACET = {"kind": "other", "dialect": "spanledger", "name": "work", "status": "ok"}
SOURCE = {"service": "svc"}
Span = dict[str, Any]


@cache
def _schemas() -> tuple[pl.Schema, pl.Schema]:
    """The columns of the two frames that the jobs read."""
    with TemporaryDirectory() as folder:
        store = empty_store(Path(folder) / "empty.duckdb")
        with store.cursor() as c:
            c.execute("CREATE TEMP TABLE wanted AS SELECT trace_hi, trace_lo FROM spans")
            params = {"first": 0, "upto": 0}
            spans = c.sql(query("trace_spans"), params=params | {"self_check": 0}).pl()
            parts = c.sql(query("trace_tool_parts"), params=params).pl()
        store.close()
    return spans.schema, parts.schema


def span(span_id: int, parent: int | None = None, kind: str = "other", start: float = 0, **values: Any) -> Span:
    """One span that lasts a second; `start` in seconds. Other values are columns of `trace_spans.sql`."""
    place = {"batch": 1, "trace_hi": 1, "trace_lo": 1, "span_id": span_id, "parent_id": parent, "flags": 0}
    when = {"start_ns": int(start * SECOND), "duration_ns": SECOND}
    return place | when | FACET | SOURCE | {"kind": kind} | values


def llm(span_id: int, parent: int | None = None, start: float = 0, **values: Any) -> Span:
    """A model call with usage."""
    usage = {"input_tokens": 1000, "output_tokens": 100, "model": "gpt-4o", "provider": "openai"}
    return span(span_id, parent, "llm.call", start, **(usage | values))


def tool(span_id: int, parent: int | None = None, start: float = 0, **values: Any) -> Span:
    """A call of the tool `search`."""
    return span(span_id, parent, "tool.call", start, **({"tool": "search"} | values))


def agent(span_id: int, parent: int | None = None, start: float = 0, name: str | None = "a", **values: Any) -> Span:
    """An agent.run that lasts a minute."""
    return span(span_id, parent, "agent.run", start, **({"own_agent": name, "duration_ns": 60 * SECOND} | values))


def part(span_id: int, call: int, **values: Any) -> Span:
    """A tool call named in the messages of a span."""
    place = {"batch": 1, "trace_hi": 1, "trace_lo": 1, "span_id": span_id, "call_hash": call, "tool": "search"}
    return place | {"asked": True, "answered": False, "error_reason": None} | values


def frame(*spans: Span) -> pl.DataFrame:
    """The frame that the jobs read."""
    return pl.DataFrame(list(spans), schema=_schemas()[0])


def parts(*rows: Span) -> pl.DataFrame:
    """The tool parts that the jobs read."""
    return pl.DataFrame(list(rows), schema=_schemas()[1])


def stored(spans: list[Span], first: int = 0) -> Rows:
    """The same spans as rows of `span_log` and its dictionaries, whose ids come after `first`."""
    rows = Rows()
    for values in spans:
        places: dict[str, dict[str, Any]] = {"facet": {}, "identity": {}, "source": {}, "span": {}}
        for name, value in values.items():
            place, column = _PLACES.get(name, ("span", name))
            places[place][column] = value
        facet = {"mapping": "exact", "span_kind": "internal"} | places["facet"]
        ids = {
            "facet": rows.intern("facets", "facet", **facet),
            "identity": rows.intern("identities", "identity", **places["identity"]),
            "source": rows.intern("sources", "source", **{"scope": "test"} | places["source"]),
        }
        rows.add("span_log", **places["span"], **ids)
    for table, column in (("facets", "facet"), ("identities", "identity"), ("sources", "source")):
        for row in (*rows.tables.get(table, []), *rows.tables.get("span_log", [])):
            row[column] += first
    return rows


_FACETS = [
    "kind",
    "dialect",
    "name",
    "status",
    "error_reason",
    "model",
    "request_model",
    "provider",
    "service_tier",
    "tool",
    "tool_server",
    "tool_class",
    "tool_action",
    "decision",
]
_PLACES = (
    {name: ("facet", name) for name in _FACETS}
    | {"own_agent": ("facet", "agent"), "own_agent_version": ("facet", "agent_version")}
    | {f"own_{name}": ("identity", name) for name in ("tenant", "user", "session", "run_ref", "client")}
    | {f"resource_{name}": ("source", name) for name in ("tenant", "user", "session", "run_ref", "client")}
    | {name: ("source", name) for name in ("ingest_tenant", "service", "service_version", "instance", "scope")}
    | {"own_environment": ("source", "environment")}
)
