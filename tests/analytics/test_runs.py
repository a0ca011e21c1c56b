"""One row a run: status, times, counts."""

import polars as pl
import pytest

from analytics.frames import Frames
from analytics.jobs import analyse
from analytics.pricing.book import PriceBook
from analytics.runs import SILENCE_NS
from collector.semconv import Flag
from tests.analytics.spans import SECOND, Span, agent, frame, llm, part, parts, span, tool

BOOK = PriceBook.seeded()
ARRIVED_NS = 10**6  # batch 1
NO_BOOKINGS = pl.DataFrame(
    schema=dict.fromkeys(("trace_hi", "trace_lo", "span_id", "call_hash"), pl.UInt64)
    | {"booked_pusd": pl.Int64, "booked_version": pl.String}
)


def rows(*spans: Span, now_ns: int = ARRIVED_NS, named: tuple[Span, ...] = ()) -> list[Span]:
    """The runs of the spans, in order of start."""
    traces = frame(*spans).select("trace_hi", "trace_lo").unique()
    read = Frames(traces, frame(*spans), parts(*named))
    return analyse(read, NO_BOOKINGS, BOOK, now_ns).runs.sort("started_ns").to_dicts()


@pytest.mark.parametrize(
    ("spans", "after_ns", "status"),
    [
        ([agent(1), llm(2, 1, status="error")], 0, "ok"),
        ([agent(1, status="error")], 0, "error"),
        ([agent(1, status="denied")], 0, "ok"),
        ([llm(2, 1)], SILENCE_NS - 1, "running"),
        ([llm(2, 1)], SILENCE_NS, "stuck"),
        ([span(1), agent(2, 7), agent(3, 7)], 0, "running"),
        ([span(1), agent(2, 7), agent(3, 7)], SILENCE_NS, "incomplete"),
    ],
)
def test_status(spans: list[Span], after_ns: int, status: str) -> None:
    """The root decides; without one the clock does, and whether the trace's own root has ended."""
    (run,) = rows(*spans, now_ns=ARRIVED_NS + after_ns)
    assert run["status"] == status
    assert run["due_ns"] == (ARRIVED_NS + SILENCE_NS if status == "running" else None)


def test_a_run_sums_up_its_spans() -> None:
    """Counts and tokens of everything below the root; quarantined spans are counted apart."""
    spans = [
        agent(1, start=10, own_user="u", own_agent_version="2", name="main"),
        agent(2, 1, 11, name="sub"),
        llm(3, 2, 12, cache_read_tokens=10),
        llm(4, 1, 14, status="error", error_reason="timeout", input_tokens=None, output_tokens=None),
        tool(5, 1, 15, status="denied"),
        tool(6, 1, 16, status="error"),
        tool(7, 1, 17, retry_count=1),
        span(8, 1, "policy.check", 18, decision="deny"),
        llm(9, 1, 19, flags=int(Flag.USAGE_ABSURD), input_tokens=10**15),
        tool(10, 1, 200, flags=int(Flag.SAMPLED)),
    ]
    (run,) = rows(*spans)
    expected = {
        "agent": "main", "agents": ["sub"], "agent_version": "2", "user": "u", "tenant": "default", "status": "ok",
        "spans": 9, "quarantined": 1, "steps": 2, "llm_calls": 2, "llm_errors": 1, "tool_calls": 4, "tool_errors": 1,
        "tool_denied": 1, "retries": 1, "policy_checks": 1, "policy_denials": 1, "input_tokens": 1000,
        "cache_read_tokens": 10, "priced_calls": 1, "unpriced_calls": 0, "unknown_calls": 1, "sampled": True,
        "started_ns": 10 * SECOND, "ended_ns": 201 * SECOND, "error_reason": None, "findings": 0, "priced_tokens": 1100,
    }  # fmt: skip
    assert {name: run[name] for name in expected} == expected
    assert run["cost_pusd"] == run["booked_pusd"] > 0


def test_spans_around_the_root_do_not_stretch_the_run() -> None:
    """A run lasts as its root and what is below it, not as the server span around it."""
    (run,) = rows(span(1, start=0, duration_ns=900 * SECOND), agent(2, 1, 5))
    assert (run["started_ns"], run["ended_ns"]) == (5 * SECOND, 65 * SECOND)


def test_an_error_names_its_reason() -> None:
    """The root's own reason, else the last one below it."""
    failed = agent(1, status="error")
    assert rows(failed, tool(2, 1, status="error", error_reason="timeout"))[0]["error_reason"] == "timeout"
    own = failed | {"error_reason": "auth_failed"}
    assert rows(own, tool(2, 1, status="error", error_reason="timeout"))[0]["error_reason"] == "auth_failed"


def test_a_run_without_calls_cost_nothing() -> None:
    """No model call, no cost: zero, not unknown."""
    (run,) = rows(agent(1))
    assert (run["cost_pusd"], run["llm_calls"], run["steps"]) == (0, 0, 0)


def test_derived_tool_calls_are_marked() -> None:
    """They count as tool calls and are told apart."""
    (run,) = rows(agent(1), llm(2, 1), named=(part(2, 7), part(2, 8)))
    assert (run["tool_calls"], run["derived_tool_calls"]) == (2, 2)
