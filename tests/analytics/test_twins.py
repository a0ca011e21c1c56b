"""One model call that several spans tell of, around each other, beside each other or after each other."""

from typing import Any

import pytest

from collector.semconv import Flag
from tests.analytics.spans import SECOND, Span, agent, llm, span
from tests.analytics.test_calls import MODEL, calls_of

NO_USAGE: Span = {"input_tokens": None, "output_tokens": None, "request_model": "gpt-4o"}
SUM: Span = {
    "input_tokens": 1000,
    "output_tokens": 100,
    "model": "gpt-4o-2024-08-06",
    "flags": int(Flag.AGGREGATE),
    "duration_ns": 9 * SECOND,
}
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


def test_a_failure_that_both_tell_is_one_whatever_else_they_tell() -> None:
    """Calls that a response has joined do not push the others out of place."""
    answered = {"response_hash": 7, "duration_ns": 2 * SECOND}
    failed: Span = {"status": "error", "input_tokens": None, "output_tokens": None}
    first = [llm(2, 1, 0) | SDK | answered, llm(3, 1, 0.5, response_hash=7) | LANGCHAIN]
    second = [llm(4, 1, 5, duration_ns=2 * SECOND) | SDK | failed, llm(5, 1, 5.5) | LANGCHAIN | failed]
    assert len(calls_of(agent(1), *first, *second)) == 2


def test_a_sum_over_one_call_fills_its_gaps() -> None:
    """What a node or an agent around tells of the one call with usage below it is that call's: parts of its totals, and
    the model that answered where the call names the one that was asked."""
    node = span(2, 1, **(SUM | {"reasoning_tokens": 7, "cache_read_tokens": 300}))
    failed = llm(4, 2, 0.2, status="error", input_tokens=None, output_tokens=None)
    call = next(c for c in calls_of(agent(1), node, llm(3, 2, request_model="gpt-4o"), failed) if c["span_id"] == 3)
    told = ("model", "cache_read_tokens", "reasoning_tokens")
    assert tuple(call[c] for c in told) == ("gpt-4o-2024-08-06", 300, 7)


@pytest.mark.parametrize("other", [{"input_tokens": 999}, {"output_tokens": None}, {"response_hash": 8}])
def test_a_sum_that_is_not_the_calls_tells_it_nothing(other: Span) -> None:
    """With other totals, a total that is missing, or another response it is somebody else's."""
    node = span(2, 1, **(SUM | {"reasoning_tokens": 7} | other))
    (call,) = calls_of(agent(1), node, llm(3, 2, response_hash=7))
    assert (call["model"], call["reasoning_tokens"]) == ("gpt-4o", None)


def test_a_sum_over_two_calls_tells_neither_anything() -> None:
    """Not even where the totals are those of one of them."""
    calls = calls_of(agent(1), span(2, 1, **(SUM | {"reasoning_tokens": 7})), llm(3, 2), llm(4, 2, 2))
    assert [c["reasoning_tokens"] for c in calls] == [None, None]
