"""/api/v1/quality: the ledger of ingestion, and how emitters speak; quality/counters: what they count themselves.

/api/v1/spans: how many rows there are, and which.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from analytics.reports import periods
from analytics.reports.counters import Counters, counters
from analytics.reports.quality import Quality, quality
from analytics.reports.spans import count_spans, span_ids
from analytics.reports.values import moment
from dashboards.api.answers import answer
from dashboards.api.questions import now_ns_of, store_of

router = APIRouter(prefix="/api/v1", tags=["quality"])


class QualityQuestion(BaseModel):
    """The period of a ledger."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    begin: str = Field("24h", alias="from", description="Arrived from then on.")
    end: str | None = Field(None, alias="to", description="Arrived before then.")


@router.get("/quality", response_model=Quality)
def get_quality(request: Request, asked: Annotated[QualityQuestion, Query()]) -> Response:
    """What became of everything that arrived in a period."""
    store, now_ns = store_of(request), now_ns_of(request)
    with store.cursor() as c:
        from_ns, to_ns = periods.period(c, asked.begin, asked.end, now_ns=now_ns)
    return answer(request, quality(store, now_ns, from_ns=from_ns, to_ns=None if asked.end is None else to_ns))


@router.get("/quality/counters", response_model=Counters)
def get_counters(request: Request) -> Response:
    """What emitters count themselves (tokens, cost) beside what their calls add up to, and what a difference means."""
    return answer(request, counters(store_of(request), now_ns_of(request)))


@router.get("/spans/count", response_model=dict[str, int | str])
def get_span_count(request: Request) -> Response:
    """The number of stored spans that every answer is built from; spans of the self-check are left out."""
    return answer(request, {"count": count_spans(store_of(request)), "as_of": moment(now_ns_of(request))})


@router.get("/spans/ids", response_class=StreamingResponse)
def get_span_ids(request: Request) -> StreamingResponse:
    """The ids of these spans in hex, a line each."""
    return StreamingResponse(span_ids(store_of(request)), media_type="text/plain")
