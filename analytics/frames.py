"""Reads whole traces out of the store, as Polars frames."""

from dataclasses import dataclass
from functools import cache
from importlib import resources

import polars as pl

from analytics.echoes import BY_SESSION, logged
from analytics.strays import MOST_TRACES, PROCESS, WINDOW_NS, within
from collector.semconv import Flag
from collector.store import Cursor

SELF_CHECK = int(Flag.SELF_CHECK)


@dataclass(frozen=True)
class Frames:
    """All spans of some traces and the tool calls that their messages name.

    `spans`: the columns of `queries/trace_spans.sql`; `tool_parts`: those of `queries/trace_tool_parts.sql`;
    `traces`: (trace_hi, trace_lo) of the traces that were asked for and of all that run ids or responses link to them.
    """

    traces: pl.DataFrame
    spans: pl.DataFrame
    tool_parts: pl.DataFrame

    def of(self, traces: pl.DataFrame) -> "Frames":
        """What belongs to some of the traces."""
        some = (
            f.join(traces, on=["trace_hi", "trace_lo"], how="semi") for f in (self.traces, self.spans, self.tool_parts)
        )
        return Frames(*some)


@cache
def query(name: str) -> str:
    """The text of `queries/NAME.sql`."""
    return resources.files("analytics").joinpath("queries", f"{name}.sql").read_text()


def rows(cursor: Cursor, name: str, **params: int) -> pl.DataFrame:
    """The answer of `queries/NAME.sql`."""
    answer: pl.DataFrame = cursor.sql(query(name), params=params or None).pl()
    return answer


def read_traces(cursor: Cursor, traces: pl.DataFrame, first: int, upto: int) -> Frames:
    """Every span of `traces` that arrived until batch `upto`; `first` is the earliest batch of their new spans.

    What earlier passes noted of these traces says where their older spans begin, so that only that part of the
    table is read. Traces that share an emitter's run id with them are read too (almost no span has one), and those
    that tell of the same model calls; then what these are linked with, until nothing is missing.
    """
    while True:
        cursor.register("wanted", traces)
        known = rows(cursor, "first_batch").item()
        first = first if known is None else min(first, known)
        spans = rows(cursor, "trace_spans", first=first, upto=upto, self_check=SELF_CHECK)
        linked = pl.concat([_linked(cursor, spans, upto), _told_elsewhere(cursor, spans, upto)]).unique()
        linked = linked.join(traces, on=["trace_hi", "trace_lo"], how="anti")
        if linked.is_empty():
            return Frames(traces, spans, rows(cursor, "trace_tool_parts", first=first, upto=upto))
        traces = pl.concat([traces, linked])


def _linked(cursor: Cursor, spans: pl.DataFrame, upto: int) -> pl.DataFrame:
    """Traces with one of the run ids of `spans` that are not wanted yet; and where log records name only the session,
    the traces of that session."""
    by_session = spans.filter(pl.col("dialect").is_in(BY_SESSION))
    sessions = by_session["own_session"].drop_nulls().unique()
    found = pl.DataFrame(schema={"trace_hi": pl.UInt64, "trace_lo": pl.UInt64})
    if len(sessions):
        cursor.register("wanted_sessions", sessions.alias("session").to_frame())
        everything = int(logged(by_session))
        found = rows(cursor, "linked_sessions", upto=upto, self_check=SELF_CHECK, all=everything)
    refs = pl.concat([spans["own_run_ref"], spans["resource_run_ref"]]).drop_nulls().unique()
    if refs.is_empty():
        return found
    cursor.register("refs", refs.alias("run_ref").to_frame())
    return pl.concat([found, rows(cursor, "linked_traces", upto=upto, self_check=SELF_CHECK)]).unique()


def _told_elsewhere(cursor: Cursor, spans: pl.DataFrame, upto: int) -> pl.DataFrame:
    """Traces that tell of the model calls of `spans`, at most `WINDOW_NS` before or after them; wanted ones too: by
    their responses, or as another instrumentation of the same process told them at the same time."""
    found = [pl.DataFrame(schema={"trace_hi": pl.UInt64, "trace_lo": pl.UInt64})]
    responses = spans.filter(pl.col("response_hash").is_not_null())
    if len(responses):
        cursor.register("responses", responses.select("response_hash").unique())
        limits = {"upto": upto, "self_check": SELF_CHECK, "most": MOST_TRACES} | _around(responses)
        found.append(rows(cursor, "linked_responses", **limits))
    calls = spans.filter((pl.col("kind") == "llm.call") & pl.col("instance").is_not_null()).select(
        *PROCESS,
        "scope",
        "start_ns",
        "response_hash",
        ended_ns=pl.col("start_ns") + pl.col("duration_ns"),
        is_root=pl.col("parent_id").is_null(),
    )
    if len(calls):
        moment = pl.col("start_ns") // WINDOW_NS
        moments = [calls.select("service", "instance", moment=moment + near).unique() for near in (-1, 0, 1)]
        cursor.register("moments", pl.concat(moments).unique())
        limits = {"upto": upto, "self_check": SELF_CHECK, "window": WINDOW_NS, "all": int(calls["is_root"].any())}
        others = rows(cursor, "linked_calls", **limits, **_around(calls))
        inner, outer = within(others.filter("is_root"), calls), within(calls.filter("is_root"), others)
        found.append(inner.select("trace_hi", "trace_lo"))
        found.append(outer.select(trace_hi="other_trace_hi", trace_lo="other_trace_lo"))
    return pl.concat(found).unique()


def _around(calls: pl.DataFrame) -> dict[str, int]:
    """The times of some calls, and as much before and after them as another instrumentation may be off."""
    first, last = calls.select(first=pl.col("start_ns").min(), last=pl.col("start_ns").max()).row(0)
    return {"from_ns": first - WINDOW_NS, "to_ns": last + WINDOW_NS}
