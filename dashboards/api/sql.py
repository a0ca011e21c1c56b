"""/api/v1/sql and /api/v1/snapshots: questions in SQL. They need a token even on loopback."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from analytics.reports.sql import MAX_ROWS, Table, ask, snapshot
from dashboards.api.answers import answer
from dashboards.api.questions import now_ns_of, store_of

router = APIRouter(prefix="/api/v1", tags=["sql"])


class SqlQuestion(BaseModel):
    """One reading statement."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(max_length=100_000)
    limit: int = Field(MAX_ROWS, ge=1, le=MAX_ROWS)


@router.post("/sql", response_model=Table)
def post_query(request: Request, asked: SqlQuestion) -> Response:
    """The answer to one reading statement."""
    return answer(request, ask(store_of(request), now_ns_of(request), asked.query, limit=asked.limit))


@router.post("/snapshots", response_model=dict[str, str])
def post_snapshot(request: Request) -> Response:
    """Write a copy of the store that DuckDB 1.5 and later open; its path on this machine."""
    return answer(request, {"path": str(snapshot(store_of(request)))})
