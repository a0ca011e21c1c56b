"""/api/v1/remaps: stored spans read again with better dialect tables.

The application's state gives `tables()`, the dialect tables that arriving spans are read with, `remapping`, how far a
remap has come, and `quiet()`, a context in which no job runs.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from analytics.reports import periods
from analytics.reports.remaps import Remapping, list_remaps, remapping
from analytics.reports.values import BadQuestion
from collector.dialects.table_files import TableError
from collector.dialects.tables import Tables, load_tables
from collector.remap import Progress, RemapError, preview, remap, undo
from dashboards.api.answers import answer
from dashboards.api.questions import actor_of, now_ns_of, store_of

DIALECTS = "dialects"  # the folder of a user's own tables

router = APIRouter(prefix="/api/v1", tags=["remaps"])


class RemapQuestion(BaseModel):
    """Which spans to read again, by their start; only shown with `dry_run`."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    begin: str | None = Field(None, alias="from")
    end: str | None = Field(None, alias="to")
    dry_run: bool = False


class Headway(TypedDict):
    """How far a remap has come, in rows of the store; 0 of 0 where none goes on."""

    done: int
    of: int


class Turn:
    """One remap at a time, and how far it has come."""

    def __init__(self) -> None:
        self.done, self.of = 0, 0
        self._lock = threading.Lock()

    @contextmanager
    def take(self) -> Iterator[Progress]:
        """A context for one remap, which tells its progress. Raises BadQuestion while another one goes on."""
        if not self._lock.acquire(blocking=False):
            raise BadQuestion("dry_run", "another remap goes on: ask again when it is done")
        try:
            yield self._tell
        finally:
            self._tell(0, 0)
            self._lock.release()

    def _tell(self, done: int, of: int) -> None:
        self.done, self.of = done, of


@router.get("/remaps", response_model=dict[str, Any])
def get_remaps(request: Request) -> Response:
    """The audit of remapping."""
    return answer(request, list_remaps(store_of(request), now_ns_of(request)))


@router.get("/remaps/progress", response_model=Headway)
def get_progress(request: Request) -> Response:
    """How far the remap that goes on has come."""
    turn = request.app.state.remapping
    return answer(request, {"done": turn.done, "of": turn.of})


@router.post("/remaps", response_model=Remapping)
def post_remap(request: Request, asked: RemapQuestion) -> Response:
    """Read stored spans again, or show what that would change with the tables as they are in the folder now."""
    store, now_ns = store_of(request), now_ns_of(request)
    with store.cursor() as c:
        from_ns, to_ns = periods.period(c, asked.begin, asked.end, now_ns=now_ns)
    tables = _tables(request)
    with request.app.state.remapping.take() as progress:
        if asked.dry_run:
            return answer(request, remapping(preview(store, tables, from_ns, to_ns, progress)))
        if tables.version != request.app.state.tables().version:
            remedy = "what arrives is read with them in a few seconds, so ask again then"
            raise BadQuestion(DIALECTS, f"the files in {DIALECTS} have just changed: {remedy}")
        with request.app.state.quiet():
            actor = actor_of(request)
            done = remap(store, tables, from_ns, to_ns, actor=actor, now_ns=now_ns, progress=progress)
    return answer(request, remapping(done))


@router.post("/remaps/{number}/undo", response_model=Remapping)
def post_undo(request: Request, number: int) -> Response:
    """Take a remap back."""
    try:
        with request.app.state.remapping.take(), request.app.state.quiet():
            done = undo(store_of(request), number, actor=actor_of(request), now_ns=now_ns_of(request))
    except RemapError as e:
        raise BadQuestion("number", str(e)) from None
    return answer(request, remapping(done))


def _tables(request: Request) -> Tables:
    try:
        return load_tables(request.app.state.settings.data / DIALECTS)
    except TableError as e:
        raise BadQuestion(DIALECTS, str(e)) from None
