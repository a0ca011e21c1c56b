"""A run's spans as the rows of a waterfall: place in time, sums of what lies below, parents that never came. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

Row = dict[str, Any]

ICONS = {
    "agent.run": "agent",
    "agent.plan": "plan",
    "llm.call": "llm",
    "agent.tool_select": "plan",
    "tool.call": "tool",
    "policy.check": "policy",
    "memory.read": "memory",
    "memory.write": "memory",
}
TITLES = ("tool", "model", "rule_id", "store", "dependency")  # the first that is known names the row
NOTHING: Row = dict.fromkeys(
    (
        *("tool", "model", "agent", "rule_id", "store", "dependency", "decision", "error_reason", "pricing", "step"),
        *("cost_usd", "wasted_usd", "reported_usd", "input_tokens", "output_tokens"),
    )
)


def waterfall(spans: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The spans (of `reports.spans`, in tree order) with rows for what was not sent as a span, each with

    `depth`, `children` (direct), `icon`, `title`, `left` and `width` (percent of the run's time), `below_usd` and
    `below_tokens` (sums over all rows below). Two kinds of row have no span: a parent that never arrived
    (`absent`), and a tool call that was read from messages (`derived`).
    """
    rows = list(_rows(spans))
    _place(rows)
    _sum_up(rows)
    return rows


def _rows(spans: Sequence[Mapping[str, Any]]) -> Iterable[Row]:
    known = {span["span_id"] for span in spans}
    absent, shift = None, 0
    for span in spans:
        if span["depth"] == 0:
            parent = span["parent_span_id"]
            if parent in known:
                parent = None
            if parent is not None and parent != absent:
                yield _absent(parent, span)
            absent, shift = parent, int(parent is not None)
        depth = span["depth"] + shift
        yield {
            **span,
            "depth": depth,
            "icon": ICONS.get(span["kind"], "other"),
            "title": _title(span),
            "absent": False,
            "derived": False,
        }
        for number, call in enumerate(span["derived_tool_calls"]):
            yield _derived(call, span, depth + 1, number)


def _title(span: Mapping[str, Any]) -> str:
    own = [span["agent"]] if span["kind"] == "agent.run" else []
    return str(next((title for title in own + [span[name] for name in TITLES] if title), span["name"]))


def _absent(span_id: str, child: Mapping[str, Any]) -> Row:
    """A row for a parent that other spans name and nobody sent."""
    return NOTHING | {
        "evidence_of": [],
        "span_id": span_id,
        "depth": 0,
        "kind": "other",
        "icon": "missing",
        "title": "parent has not arrived",
        "name": "",
        "status": "incomplete",
        "offset_ms": child["offset_ms"],
        "duration_ms": 0.0,
        "quarantined": False,
        "absent": True,
        "derived": False,
    }


def _derived(call: Mapping[str, Any], span: Mapping[str, Any], depth: int, number: int) -> Row:
    """A row for a tool call that the emitter told only in the messages of a model call."""
    return NOTHING | {
        "evidence_of": [],
        "span_id": f"{span['span_id']}-{number}",
        "depth": depth,
        "kind": "tool.call",
        "icon": "tool",
        "title": call["tool"],
        "name": call["tool"],
        "status": call["status"],
        "error_reason": call["error_reason"],
        "cost_usd": call["cost_usd"],
        "offset_ms": span["offset_ms"] + span["duration_ms"],
        "duration_ms": 0.0,
        "quarantined": span["quarantined"],
        "absent": False,
        "derived": True,
    }


def _place(rows: list[Row]) -> None:
    """Where each bar begins and how wide it is; quarantined spans do not stretch the others."""
    length = max((r["offset_ms"] + r["duration_ms"] for r in rows if not r["quarantined"]), default=0) or 1
    for row in rows:
        row["left"] = round(min(max(row["offset_ms"] / length * 100, 0), 100), 2)
        row["width"] = round(min(row["duration_ms"] / length * 100, 100 - row["left"]), 2)


def _sum_up(rows: list[Row]) -> None:
    """Count the children of each row and add up what lies below it, from the last row upwards."""
    open_rows: list[tuple[int, Decimal | None, int]] = []
    for row in reversed(rows):
        cost, tokens, children = None, 0, 0
        while open_rows and open_rows[-1][0] > row["depth"]:
            depth, part, count = open_rows.pop()
            children += depth == row["depth"] + 1
            tokens += count
            cost = part if cost is None else cost + (part or 0)
        row |= {"children": children, "below_usd": None if cost is None else f"{cost:f}", "below_tokens": tokens}
        if row["cost_usd"] is not None and not row["quarantined"]:
            cost = Decimal(row["cost_usd"]) + (cost or 0)
        counted = row["step"] is not None
        own = (row["input_tokens"] or 0) + (row["output_tokens"] or 0) if counted else 0
        open_rows.append((row["depth"], cost, tokens + own))
