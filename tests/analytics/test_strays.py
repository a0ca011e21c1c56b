"""Model calls in a trace of their own, told outside the run that they belong to."""

from pathlib import Path
from typing import Any

import pytest

from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from tests.analytics.spans import SECOND, Span, agent, llm, span, stored
from tests.stores import empty_store, write

LANGCHAIN, SDK = {"scope": "langchain", "instance": "p1"}, {"scope": "openai", "instance": "p1"}


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


def test_a_run_keeps_all_traces_that_followed_it(tmp_path: Path) -> None:
    """Whichever of them arrives last, all are read again."""
    second = [llm(3, 1, 5, response_hash=8) | LANGCHAIN]
    strays = [STRAY, [llm(8, None, 5, response_hash=8, trace_lo=3) | SDK]]
    assert elsewhere(tmp_path, RUN + second, *strays) == [(3, 2, 2000)]


NO_ID: Span = {"input_tokens": None, "output_tokens": None}
STREAM = [agent(1), llm(2, 1, duration_ns=3 * SECOND) | LANGCHAIN]
ALONE = llm(9, None, 1, trace_lo=2) | SDK | NO_ID
HTTP = span(10, 9, start=1, trace_lo=2, **SDK)


@pytest.mark.parametrize(
    "passes", [[[*STREAM, ALONE]], [STREAM, [ALONE]], [[ALONE], STREAM], [[HTTP], STREAM, [ALONE]]]
)
def test_a_call_without_an_id_follows_the_clock(passes: list[list[Span]], tmp_path: Path) -> None:
    """Another instrumentation of the process tells of the model at that time: one call, whatever came first."""
    assert elsewhere(tmp_path, *passes) == [(2, 1, 1000)]


@pytest.mark.parametrize(
    "other",
    [
        {"start_ns": 3 * SECOND},
        {"instance": "p2"},
        {"instance": None},
        {"scope": "langchain"},
        {"model": "o3"},
        {"input_tokens": 7},
        {"status": "error"},
        {"ingest_tenant": "acme"},
        {"parent_id": 77},
    ],
)
def test_what_disagrees_follows_nobody(other: dict[str, Any], tmp_path: Path) -> None:
    """Beyond the call's time, of another or no process, of the same scope, another model, usage, outcome or tenant, or
    below a span that has not come: a run of its own."""
    assert len(elsewhere(tmp_path, STREAM, [ALONE | other])) == 2


def test_one_of_many_follows_nobody(tmp_path: Path) -> None:
    """Two such calls at once, in one run or two, or two traces for one call: who belongs to whom is not known."""
    again = [s | {"trace_lo": 3} for s in STREAM]
    assert len(elsewhere(tmp_path, STREAM, [ALONE], again)) == 3
    for number, more in enumerate([[ALONE | {"trace_lo": 4}], [llm(8, None, 1.5, trace_lo=2) | SDK]]):
        (tmp_path / str(number)).mkdir()
        assert len(elsewhere(tmp_path / str(number), STREAM, [ALONE, *more])) > 1


def test_failed_calls_follow_the_clock_too(tmp_path: Path) -> None:
    """A refused request has no response; both tell that it failed."""
    failed = {"status": "error"} | NO_ID
    assert elsewhere(tmp_path, [STREAM[0], STREAM[1] | failed], [ALONE | failed]) == [(2, 1, 0)]


def test_a_call_alone_follows_another_call_alone(tmp_path: Path) -> None:
    """Without any run around them the one that contains the other is the run."""
    assert elsewhere(tmp_path, [STREAM[1] | {"parent_id": None}], [ALONE]) == [(2, 1, 1000)]
