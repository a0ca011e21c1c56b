"""Run: what one run did, step by step, what each step cost, and what went wrong."""

from typing import Any

from fastapi import APIRouter, Request, Response

from analytics.reports.costs import list_costs
from analytics.reports.findings import list_findings
from analytics.reports.runs import run
from analytics.reports.spans import list_spans
from dashboards import charts
from dashboards.pages.frame import Table, missing, respond
from dashboards.waterfall import waterfall

router = APIRouter(include_in_schema=False)

ROWS = 500  # of the waterfall at once: what server and browser lay out without a pause
STEP_COLUMNS = {
    "step": "Step",
    "cost_usd": "Cost, USD",
    "wasted_usd": "Wasted, USD",
    "llm_calls": "Model calls",
    "tool_calls": "Tool calls",
    "input_tokens": "Tokens in",
    "output_tokens": "Tokens out",
}
GROUPS = {  # what the panel of one span shows, in this order; what is not known is left out
    "Money": "cost_usd wasted_usd avoided_usd booked_usd reported_usd pricing price_version step",
    "Tokens": "input_tokens output_tokens cache_read_tokens cache_write_tokens cache_write_1h_tokens reasoning_tokens "
    "input_audio_tokens output_audio_tokens",
    "Model": "model request_model provider service_tier finish_reason first_token_ms planner_model",
    "Tool": "tool tool_server tool_class tool_action args_bytes result_bytes retry_count dependency http_status",
    "Decision": "rule_id decision decision_raw reason_code selector_version item_count selected_count store",
    "Error": "error_type error_reason",
    "Agent": "agent agent_version tenant user session client",
    "Source": "service service_version environment instance scope scope_version sdk dialect mapping span_kind",
    "Hashes": "args_hash args_shape result_hash subject_hash response_hash call_hash",
}


@router.get("/runs/{run_id}")
def page(request: Request, run_id: str) -> Response:
    """The run with its waterfall, from row `from=` on, and the panel of the span `span=`."""
    store, now_ns = request.app.state.store, request.app.state.clock()
    found, spans = run(store, run_id, now_ns), list_spans(store, run_id, now_ns)
    if found is None or spans is None:
        return missing(request, f"run {run_id}", "It may be deleted by retention, or its spans are still on the way.")
    rows, first = waterfall(spans["items"]), _whole(request.query_params.get("from"))
    steps = sorted(list_costs(store, now_ns, group_by=["step"], run=run_id)["items"], key=lambda row: row["step"] or 0)
    return respond(
        request,
        "run.html",
        {"steps": Table("Cost by step", STEP_COLUMNS, steps)},
        active="runs",
        run=found,
        rows=rows[first : first + ROWS],
        first=first,
        row_count=len(rows),
        page_rows=ROWS,
        cut=spans["next_cursor"] is not None,
        findings=list_findings(store, now_ns, run=run_id)["items"],
        figure=_figure(steps),
        **_panel(rows, request.query_params.get("span")),
    )


@router.get("/runs/{run_id}/panel/{span_id}")
def panel(request: Request, run_id: str, span_id: str) -> Response:
    """The panel of one span alone, for the script that swaps it."""
    spans = list_spans(request.app.state.store, run_id, request.app.state.clock())
    rows = waterfall(spans["items"]) if spans else []
    return respond(request, "span.html", {}, **_panel(rows, span_id))


def _panel(rows: list[dict[str, Any]], span_id: str | None) -> dict[str, Any]:
    """The chosen span with its facts in groups, and the spans that have the same arguments."""
    spans = [row for row in rows if not row["absent"] and not row["derived"]]
    span = next((row for row in spans if row["span_id"] == span_id), None)
    if span is None:
        return {"span": None}
    groups = {title: {n: span[n] for n in names.split() if _known(span[n])} for title, names in GROUPS.items()}
    same = [row for row in spans if row["args_hash"] is not None and row["args_hash"] == span["args_hash"]]
    return {"span": span, "groups": groups | {"Attributes": span["attributes"]}, "same": same if len(same) > 1 else []}


def _known(value: Any) -> bool:
    return value not in (None, "", "0", "none")


def _whole(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 9 else 0


def _figure(steps: list[Any]) -> charts.Figure:
    useful = [max(float(s["cost_usd"] or 0) - float(s["wasted_usd"]), 0) for s in steps]
    series = {"cost": useful, "wasted": [float(s["wasted_usd"]) for s in steps]}
    return charts.bars([str(s["step"]) for s in steps], series, {"cost": "--llm", "wasted": "--error"}, money=True)
