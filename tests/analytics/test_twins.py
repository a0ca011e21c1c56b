"""One model call that several spans tell of, beside each other, after each other or in a trace of its own."""

from pathlib import Path
from typing import Any

import pytest

from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from tests.analytics.spans import SECOND, Span, agent, llm, stored
from tests.analytics.test_calls import MODEL, calls_of
from tests.stores import empty_store, write

NO_USAGE: Span = {"input_tokens": None, "output_tokens": None, "request_model": "gpt-4o"}
NOTE: Span = {"duration_ns": 0, "request_model": "gpt-4o"}
LANGCHAIN, SDK = {"scope": "langchain"}, {"scope": "openai"}


def counted(*spans: Span) -> list[tuple[int, int | None]]:
    """Span and input tokens of the calls of a run."""
    return [(c["span_id"], c["input_tokens"]) for c in calls_of(agent(1), *spans)]


def test_a_note_belongs_to_the_call_before_it() -> None:
    """A stream's usage sent in a span that took no time is that call's; so is a note that knows no more than it."""
    stream, later = llm(2, 1, 0, **NO_USAGE), llm(4, 1, 5, **NO_USAGE)
    assert counted(stream, llm(3, 1, 2, **NOTE), later, llm(5, 1, 7, **(NOTE | {"input_tokens": 9}))) == [
        (2, 1000),
        (4, 9),
    ]
    assert counted(stream, llm(3, 1, 2, **(NOTE | NO_USAGE))) == [(2, None)]


def test_a_note_repeats_what_a_call_inside_tells() -> None:
    """Where the call around is told by a client within it, a note with the same usage adds nothing."""
    around, client = llm(2, 1, **NO_USAGE), llm(3, 2, 0.1, scope="sdk", response_hash=5)
    assert counted(around, client, llm(4, 1, 2, **NOTE)) == [(3, 1000)]


def test_what_is_no_note_counts() -> None:
    """A call that took no time stands for itself: before any other, of another model, or beside a call with usage."""
    silent = llm(2, 1, 3, **NO_USAGE)
    assert len(counted(llm(3, 1, 2, **NOTE), silent)) == 2
    assert len(counted(silent, llm(3, 1, 5, **(NOTE | {"request_model": "o3"})))) == 2
    assert len(counted(llm(2, 1), llm(3, 1, 5, **(NOTE | {"input_tokens": 7})))) == 2


def test_two_instrumentations_on_one_span_see_one_call() -> None:
    """One within the time of the other, of one model, with nothing that disagrees: one call, its gaps filled."""
    outer = llm(2, 1, 0, **(SDK | {"duration_ns": 2 * SECOND, "cache_read_tokens": None}))
    inner = llm(3, 1, 0.5, **(LANGCHAIN | {"cache_read_tokens": 300, "model": "gpt-4o-2024-08-06"}))
    (call,) = calls_of(agent(1), outer, inner)
    assert (call["span_id"], call["input_tokens"], call["cache_read_tokens"]) == (2, 1000, 300)
    failed: dict[str, Any] = {"status": "error"} | MODEL | {"model": "gpt-4o"}
    assert len(calls_of(agent(1), outer | failed, inner | failed)) == 1


@pytest.mark.parametrize(
    "other", [{"scope": "openai"}, {"start_ns": 3 * SECOND}, {"input_tokens": 1}, {"model": "o3"}, {"response_hash": 8}]
)
def test_calls_that_disagree_are_two(other: Span) -> None:
    """Of one instrumentation, at another time, with other usage, model or response: two calls."""
    first = llm(2, 1, 0, response_hash=7, duration_ns=2 * SECOND) | SDK
    assert len(calls_of(agent(1), first, llm(3, 1, 0.5) | LANGCHAIN | other)) == 2


def elsewhere(path: Path, *passes: list[Span]) -> list[tuple[int, int, int | None]]:
    """Traces, calls and input tokens of the runs after one pass of the jobs for each batch of spans."""
    store = empty_store(path / "store.duckdb")
    runner = Runner(store, PriceBook.seeded(), lambda: 0)
    for batch, spans in enumerate(passes, 1):
        with store.transaction() as c:
            write(c, stored([s | {"batch": batch} for s in spans], first=100 * batch))
        runner.run_pass(100 * SECOND)
    with store.cursor() as c:
        runs = c.execute("SELECT len(trace_ids), llm_calls, input_tokens FROM runs ORDER BY ALL").fetchall()
    store.close()
    return runs


RUN = [agent(1), llm(2, 1, response_hash=7, duration_ns=3 * SECOND) | LANGCHAIN]
STRAY = [llm(9, None, 1, response_hash=7, trace_lo=2) | SDK]


@pytest.mark.parametrize("passes", [[RUN + STRAY], [RUN, STRAY], [STRAY, RUN]])
def test_a_call_in_a_trace_of_its_own_is_the_runs(passes: list[list[Span]], tmp_path: Path) -> None:
    """An instrumentation outside the run's trace tells of the same response: one call, whatever came first."""
    assert elsewhere(tmp_path, *passes) == [(2, 1, 1000)]


def test_only_the_same_response_at_the_same_time_joins_traces(tmp_path: Path) -> None:
    """Another time, another response, or an id that many traces share: runs of their own."""
    late = [STRAY[0] | {"start_ns": 9 * SECOND, "trace_lo": 3}, STRAY[0] | {"response_hash": 8, "trace_lo": 4}]
    assert len(elsewhere(tmp_path, RUN + late)) == 3
    (tmp_path / "many").mkdir()
    assert len(elsewhere(tmp_path / "many", RUN + [STRAY[0] | {"trace_lo": n} for n in range(2, 6)])) == 5


def test_runs_that_share_a_response_stay_apart(tmp_path: Path) -> None:
    """Only what holds nothing but model calls is given to another run."""
    assert len(elsewhere(tmp_path, RUN + [s | {"trace_lo": 2} for s in RUN])) == 2
