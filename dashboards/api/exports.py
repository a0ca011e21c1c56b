"""/api/v1/reports: costs by any grouping and FOCUS rows, whole, as a streamed file."""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any, Literal

import polars as pl
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import Field

from analytics import exports
from analytics.reports.costs import GROUP_KEYS
from analytics.reports.exports import PRESETS, Report, cost_frames, focus_frames
from analytics.reports.values import BadQuestion, moment
from dashboards.api.costs import CostsQuestion
from dashboards.api.questions import Question, now_ns_of, store_of

router = APIRouter(prefix="/api/v1", tags=["reports"])

Form = Literal["csv", "parquet", "json", "jsonl"]


class ReportQuestion(CostsQuestion):
    """A grouping, or a preset, and the form of the file."""

    preset: str | None = Field(None, description=f"Instead of group_by: {', '.join(PRESETS)}.")
    form: Form = Field("csv", alias="format")


class FocusQuestion(Question):
    """A period of FOCUS rows."""

    tenant: str | None = None
    by_run: bool = Field(True, description="A row for each run; else days of agents.")
    unpriced: bool = Field(False, description="The volume of calls without a cost, which have no FOCUS row.")
    form: Form = Field("csv", alias="format")


@router.get("/reports", response_class=StreamingResponse)
def get_report(request: Request, asked: Annotated[ReportQuestion, Query()]) -> StreamingResponse:
    """Costs by any grouping, every row."""
    from_ns, to_ns = asked.period(request)
    keys = asked.keys()
    if asked.preset is not None and (keys or asked.preset not in PRESETS):
        raise BadQuestion("preset", f"use one of {', '.join(PRESETS)}, or group_by with {', '.join(GROUP_KEYS)}")
    report = Report(PRESETS[asked.preset] if asked.preset else keys, from_ns, to_ns, asked.tz, asked.slice())
    frames = cost_frames(store_of(request), report, request.app.state.owners)
    return _streamed(request, frames, asked.form, asked.preset or "costs")


@router.get("/reports/focus", response_class=StreamingResponse)
def get_focus(request: Request, asked: Annotated[FocusQuestion, Query()]) -> StreamingResponse:
    """FOCUS cost and usage rows of a period, or the volume of what has no cost."""
    from_ns, to_ns = asked.period(request)
    frames = focus_frames(
        store_of(request),
        request.app.state.book(),
        from_ns,
        to_ns,
        tenant=asked.tenant,
        by_run=asked.by_run,
        only_unpriced=asked.unpriced,
    )
    return _streamed(request, frames, asked.form, "focus-unpriced" if asked.unpriced else "focus")


def _streamed(request: Request, frames: Iterator[pl.DataFrame], form: str, name: str) -> StreamingResponse:
    """The file, whose question is checked before the first byte goes out."""
    first = next(frames)
    head: dict[str, Any] = {"as_of": moment(now_ns_of(request)), "next_cursor": None}
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"', "Cache-Control": "no-store"}
    body = exports.encoded(chain([first], frames), form, head)
    return StreamingResponse(body, media_type=exports.FORMATS[form], headers=headers)
