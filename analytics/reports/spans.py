"""Spans: all of one run in the order of a waterfall, their number, and their ids."""

import json
from collections.abc import Iterator
from typing import Any

import polars as pl
from typing_extensions import TypedDict

from analytics import structure
from analytics.reports import listings
from analytics.reports.listings import Lag
from analytics.reports.values import flag_names, hex_id, milliseconds, moment, trace_of, usd
from collector.semconv import QUARANTINE
from collector.store import Cursor, Store

Row = dict[str, Any]

IDS_AT_ONCE = 1 << 16


class DerivedCall(TypedDict):
    """A tool call that the emitter sent no span for: read from the messages of the model call it stands under."""

    tool: str | None
    tool_server: str | None
    status: str
    error_reason: str | None
    cost_usd: str | None
    wasted_usd: str


class Span(TypedDict):
    """One span of a run. `depth` and order are those of a waterfall, `offset_ms` counts from the run's first span.

    `agent` and the identity are inherited. `step`, money and `pricing` are those of the call that the span counts as,
    None where it is not one. `quarantined` spans are outside of every total. `evidence_of`: rules it is evidence of.
    """

    span_id: str
    parent_span_id: str | None
    trace_id: str
    depth: int
    kind: str
    name: str
    agent: str | None
    agent_version: str | None
    tenant: str
    user: str | None
    session: str | None
    client: str | None
    status: str
    error_type: str | None
    error_reason: str | None
    started_at: str
    offset_ms: float
    duration_ms: float
    arrived_at: str
    step: int | None
    provider: str | None
    model: str | None
    request_model: str | None
    service_tier: str | None
    finish_reason: str | None
    tool: str | None
    tool_server: str | None
    tool_class: str | None
    tool_action: str | None
    rule_id: str | None
    decision: str | None
    decision_raw: str | None
    reason_code: str | None
    planner_model: str | None
    selector_version: str | None
    store: str | None
    dependency: str | None
    http_status: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    reasoning_tokens: int | None
    input_audio_tokens: int | None
    output_audio_tokens: int | None
    first_token_ms: float | None
    retry_count: int | None
    item_count: int | None
    selected_count: int | None
    args_bytes: int | None
    result_bytes: int | None
    args_hash: str | None
    args_shape: str | None
    result_hash: str | None
    subject_hash: str | None
    response_hash: str | None
    call_hash: str | None
    pricing: str | None
    price_version: str | None
    cost_usd: str | None
    booked_usd: str | None
    reported_usd: str | None
    wasted_usd: str | None
    avoided_usd: str | None
    derived_tool_calls: list[DerivedCall]
    evidence_of: list[str]
    dialect: str
    mapping: str
    span_kind: str
    service: str
    service_version: str | None
    environment: str | None
    instance: str | None
    scope: str
    scope_version: str | None
    sdk: str | None
    flags: list[str]
    quarantined: bool
    attributes: dict[str, Any]


_HEX = ("span_id", *(name for name in Span.__annotations__ if name.endswith(("_hash", "_shape"))))


class Spans(TypedDict):
    """A page of a run's spans in the order of a waterfall."""

    items: list[Span]
    next_cursor: str | None
    as_of: str
    lag: Lag


def list_spans(
    store: Store, run_id: str, now_ns: int, *, limit: int = listings.MAX_LIMIT, cursor: str | None = None
) -> Spans | None:
    """The spans of a run in the order of a waterfall, parents before children, siblings by start; None if there
    are none. A trace id stands for its trace until the jobs have made its runs. Raises BadQuestion.
    """
    listings.require_limit(limit)
    (after,) = listings.place_of(cursor, str)
    with listings.reading(store) as c:
        made = _made(c, run_id.lower())
        spans = _of_run(c, run_id.lower(), made)
        if not spans:
            return None
        ordered = _in_tree(spans)
        first = 1 + next((i for i, (s, _) in enumerate(ordered) if hex_id(s["span_id"]) == after), -1)
        page = ordered[first : first + limit]
        more = len(ordered) > first + limit
        believed = [s["start_ns"] for s in spans if s["placed"]] or [s["start_ns"] for s in spans]
        return {
            "items": _items(c, made, page, min(believed)),
            "next_cursor": listings.bookmark(str(hex_id(page[-1][0]["span_id"]))) if more else None,
            **listings.currency(c, now_ns),
        }


def count_spans(store: Store) -> int:
    """The number of stored spans that answers are built from; spans of the self-check are left out."""
    with store.cursor() as c:
        return int(c.execute(listings.query("span_count")).fetchall()[0][0])


def span_ids(store: Store) -> Iterator[str]:
    """The id of each such span in hex, a line each, many lines at once."""
    with store.cursor() as c:
        for batch in c.sql(listings.query("span_ids")).to_arrow_reader(IDS_AT_ONCE):
            yield "".join(f"{span:016x}\n" for span in batch["span_id"].to_pylist())


_MADE = """
SELECT trace_hi, trace_lo, run_span, trace_ids, first_ns, ended_ns,
    (SELECT min(first_batch) FROM runs WHERE trace_hi = $trace_hi AND trace_lo = $trace_lo) AS first_batch
FROM runs
WHERE trace_hi = $trace_hi AND trace_lo = $trace_lo AND run_id = $run_id
"""


def _made(c: Cursor, run_id: str) -> Row | None:
    """What the jobs know of the run, if they have made it."""
    trace_hi, trace_lo = trace_of(run_id) or (0, 0)
    found = listings.dicts(c, _MADE, {"trace_hi": trace_hi, "trace_lo": trace_lo, "run_id": run_id})
    return found[0] if found else None


def _of_run(c: Cursor, run_id: str, made: Row | None) -> list[Row]:
    """The run's spans. Which of its traces' spans are its own is decided as the jobs decide it."""
    if not trace_of(run_id):
        return []
    traces = made["trace_ids"] if made else [run_id[:32]]
    if len(traces) > 1:  # one of them may hold records of other runs of the session, and these decide together
        shared = "SELECT DISTINCT unnest(trace_ids) FROM runs WHERE list_has_any(trace_ids, ?::VARCHAR[])"
        traces = [row[0] for row in c.execute(shared, [traces]).fetchall()]
    halves = {"trace_hi": [int(t[:16], 16) for t in traces], "trace_lo": [int(t[16:], 16) for t in traces]}
    first = made["first_batch"] if made and len(traces) == 1 else 0  # as the jobs noted it for reading the trace again
    spans = c.sql(listings.query("run_spans"), params=halves | {"first_batch": first}).pl()
    if spans.is_empty():
        return []
    spans, runs = structure.number_runs(structure.inherit(structure.arrange(spans)))
    if len(runs) > 1:
        spans = spans.join(runs.select("run", "run_id"), on="run", how="left", maintain_order="left")
        spans = spans.filter((pl.col("run_id") == run_id) | ((pl.col("run_id").is_null()) & (run_id in traces)))
    return spans.to_dicts()


def _in_tree(spans: list[Row]) -> list[tuple[Row, int]]:
    """Spans with their depth, depth first. They come sorted by start; `row` and `parent` are cycle-free."""
    present = {span["row"] for span in spans}
    below: dict[int, list[Row]] = {}
    for span in spans:
        below.setdefault(span["parent"] if span["parent"] in present else -1, []).append(span)
    ordered: list[tuple[Row, int]] = []
    waiting = [(span, 0) for span in sorted(below.get(-1, []), key=lambda s: s["start_ns"], reverse=True)]
    while waiting:
        span, depth = waiting.pop()
        ordered.append((span, depth))
        waiting.extend((child, depth + 1) for child in reversed(below.get(span["row"], [])))
    return ordered


_RULES = """
SELECT rule, span_ids FROM findings
WHERE trace_hi = $trace_hi AND trace_lo = $trace_lo AND run_span = $run_span
"""


def _items(c: Cursor, made: Row | None, page: list[tuple[Row, int]], first_ns: int) -> list[Span]:
    calls: dict[int, Row] = {}
    derived: dict[int, list[DerivedCall]] = {}
    key = {name: made[name] for name in ("trace_hi", "trace_lo", "run_span")} if made else {}
    bounds = {name: made[name] for name in ("first_ns", "ended_ns")} if made else {}
    for call in listings.rows(c, "run_calls", key | bounds) if made else []:
        if call["derived"]:
            derived.setdefault(call["span_id"], []).append(_derived(call))
        else:
            calls[call["span_id"]] = call
    rules: dict[int, list[str]] = {}
    for found in listings.dicts(c, _RULES, key) if made else []:
        for span_id in found["span_ids"]:
            rules.setdefault(span_id, []).append(found["rule"])
    return [
        _item(
            span
            | {
                "depth": depth,
                "offset_ms": milliseconds(span["start_ns"] - first_ns),
                "derived_tool_calls": derived.get(span["span_id"], []),
                "evidence_of": sorted(set(rules.get(span["span_id"], []))),
            },
            calls.get(span["span_id"], {}),
        )
        for span, depth in page
    ]


def _item(span: Row, call: Row) -> Span:
    known = span | {
        "trace_id": f"{span['trace_hi']:016x}{span['trace_lo']:016x}",
        "parent_span_id": hex_id(span["parent_id"]),
        "started_at": moment(span["start_ns"]),
        "arrived_at": moment(span["arrived_ns"]),
        "duration_ms": milliseconds(span["duration_ns"]),
        "first_token_ms": milliseconds(span["first_token_ns"]),
        "flags": flag_names(span["flags"]),
        "quarantined": bool(span["flags"] & QUARANTINE),
        "attributes": json.loads(span["attributes"]) if span["attributes"] else {},
        **{name: hex_id(span[name]) for name in _HEX},
        **{name: call.get(name) for name in ("step", "pricing", "price_version")},
        **{f"{m}_usd": usd(call.get(f"{m}_pusd")) for m in ("cost", "booked", "wasted", "avoided")},
        "reported_usd": usd(span["reported_pusd"]),
    }
    return {name: known.get(name) for name in Span.__annotations__}  # type: ignore[return-value]


def _derived(call: Row) -> DerivedCall:
    return {
        "tool": call["tool"],
        "tool_server": call["tool_server"],
        "status": call["status"],
        "error_reason": call["error_reason"],
        "cost_usd": usd(call["cost_pusd"]),
        "wasted_usd": usd(call["wasted_pusd"]) or "0",
    }
