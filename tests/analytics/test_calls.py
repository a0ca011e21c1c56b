"""Leaf model calls, logical tool calls, derived tool calls, steps and retries."""

import polars as pl

from analytics.calls import find_calls
from analytics.structure import arrange, inherit, number_runs
from collector.semconv import Flag
from tests.analytics.spans import SECOND, Span, agent, frame, llm, part, parts, span, tool

MODEL: Span = {"model": None, "provider": None, "input_tokens": None, "output_tokens": None}


def calls_of(*spans: Span, named: tuple[Span, ...] = (), failed: bool = False) -> list[Span]:
    """The calls of the spans' runs."""
    arranged, runs = number_runs(inherit(arrange(frame(*spans))))
    return find_calls(arranged, parts(*named), runs["run"] if failed else runs["run"].clear()).to_dicts()


def test_a_call_seen_by_two_instrumentations_is_one() -> None:
    """The inner span counts; the outer one fills what it does not tell."""
    outer = llm(2, 1, cache_read_tokens=300, response_hash=7, provider="openai")
    inner = llm(3, 2, start=0.1, response_hash=7, provider=None, model="gpt-4o-2024-08-06")
    (call,) = calls_of(agent(1), outer, inner)
    assert (call["span_id"], call["provider"], call["cache_read_tokens"]) == (3, "openai", 300)
    assert call["model"] == "gpt-4o-2024-08-06"


def test_totals_or_families_that_differ_fill_nothing() -> None:
    """Without a common response id, other totals or another family make it another call: nothing is mixed."""
    outer = llm(2, 1, cache_read_tokens=300, input_tokens=9)
    assert calls_of(agent(1), outer, llm(3, 2))[0]["cache_read_tokens"] is None
    stranger = llm(3, 2, **(MODEL | {"model": "claude-sonnet-4-5"}))
    assert calls_of(agent(1), outer, stranger, llm(4, 1, 9))[0]["input_tokens"] is None
    vendor = llm(3, 2, **(MODEL | {"model": "openai/gpt-4o"}))
    assert calls_of(agent(1), outer, vendor)[0]["input_tokens"] == 9


def test_a_tool_that_asks_a_model_is_not_the_same_call() -> None:
    """A tool call between two model calls keeps them apart."""
    calls = calls_of(agent(1), llm(2, 1), tool(3, 2), llm(4, 3))
    assert [c["span_id"] for c in calls if c["kind"] == "llm.call"] == [2, 4]


def test_aggregates_never_add() -> None:
    """Usage repeated on an agent or on a span that sums up counts nowhere while a call tells its own."""
    total = llm(9, 1, input_tokens=2000, flags=int(Flag.AGGREGATE))
    calls = calls_of(agent(1, input_tokens=2000, output_tokens=200), total, llm(2, 1), llm(3, 1, 5))
    assert [c["span_id"] for c in calls] == [2, 3] and not any(c["aggregate"] for c in calls)


def test_aggregate_usage_counts_where_nothing_else_does() -> None:
    """It goes to the first call below that did not fail, or becomes a call; the rest stays without usage."""
    root = agent(1, input_tokens=2000, output_tokens=200, reported_pusd=5)
    failed = llm(2, 1, 1, status="error", **MODEL)
    calls = calls_of(root, failed, llm(3, 1, 2, **(MODEL | {"model": "gpt-4o"})), llm(4, 1, 3, **MODEL))
    assert [(c["span_id"], c["input_tokens"], c["aggregate"]) for c in calls] == [
        (2, None, False),
        (3, 2000, True),
        (4, None, False),
    ]
    (alone,) = calls_of(root | {"model": "gpt-4o"})
    assert (alone["kind"], alone["model"], alone["input_tokens"], alone["aggregate"]) == (
        "llm.call",
        "gpt-4o",
        2000,
        True,
    )


def test_nested_aggregates_count_once() -> None:
    """The outermost sum holds those below it."""
    calls = calls_of(agent(1, input_tokens=300, output_tokens=3), agent(2, 1, input_tokens=100, output_tokens=1))
    assert [c["input_tokens"] for c in calls] == [300]


def test_two_instrumentations_name_one_tool_call() -> None:
    """One response told twice with other ids for its tool calls: each call once, under the id that was answered."""
    twice = llm(2, 1, response_hash=7), llm(3, 1, 0.1, response_hash=7)
    asked = [part(s, call, args_hash=s, args_shape=5) for s, calls in ((2, (20, 21)), (3, (30, 31))) for call in calls]
    answer = part(4, 31, asked=False, answered=True, result_hash=6)
    tools = [
        (c["call_hash"], c["result_hash"])
        for c in calls_of(agent(1), *twice, llm(4, 1, 2), named=(*asked, answer))
        if c["kind"] == "tool.call"
    ]
    assert tools == [(20, None), (31, 6)]


def test_zeros_are_no_usage() -> None:
    """A call that reports zero tokens told nothing."""
    (call,) = calls_of(agent(1), llm(2, 1, input_tokens=0, output_tokens=0))
    assert call["input_tokens"] is None


def test_nested_tool_spans_are_one_call() -> None:
    """Framework, MCP client and MCP server: the outermost counts, with the server and the failure of the inner."""
    client = tool(3, 2, 0.1, tool_server="mcp", args_hash=5)
    server = span(4, 3, start=0.2, kind="tool.call", status="error", error_reason="timeout")
    (call,) = calls_of(agent(1), tool(2, 1), client, server)
    assert (call["span_id"], call["tool_server"], call["args_hash"]) == (2, "mcp", 5)
    assert (call["status"], call["error_reason"]) == ("error", "timeout")


def test_other_tools_below_a_tool_are_calls_of_their_own() -> None:
    """Nesting alone is not identity; a call id or a prefixed name with the same arguments is."""
    assert len(calls_of(agent(1), tool(2, 1), tool(3, 2, tool="fetch"))) == 2
    assert len(calls_of(agent(1), tool(2, 1, call_hash=8), tool(3, 2, tool="fetch", call_hash=8))) == 1
    assert len(calls_of(agent(1), tool(2, 1, tool="mcp__x__search", args_hash=1), tool(3, 2, args_hash=1))) == 1
    assert len(calls_of(agent(1), tool(2, 1), agent(3, 2), tool(4, 3))) == 2


def test_tool_calls_are_derived_only_without_tool_spans() -> None:
    """One per call id, with the result that a later request tells."""
    asked, told = part(2, 50, args_hash=7), part(3, 50, tool=None, asked=False, answered=True, result_hash=9)
    calls = calls_of(agent(1), llm(2, 1, 1), llm(3, 1, 5), named=(asked, told))
    (derived,) = [c for c in calls if c["kind"] == "tool.call"]
    assert derived["derived"] and (derived["tool"], derived["args_hash"], derived["result_hash"]) == ("search", 7, 9)
    assert (derived["start_ns"], derived["step"], derived["span_id"]) == (2 * SECOND, 1, 2)
    calls = calls_of(agent(1), llm(2, 1, 1), tool(4, 1, 3), llm(3, 1, 5), named=(asked, told))
    assert [c["derived"] for c in calls if c["kind"] == "tool.call"] == [False]


def test_a_failed_run_did_not_execute_what_nobody_answered() -> None:
    """The last model call's unanswered wish counts only if the run went well, an earlier one always."""
    spans = agent(1), llm(2, 1, 1), llm(3, 1, 5)
    named = (part(2, 50), part(3, 51))
    tools = [[c["call_hash"] for c in calls_of(*spans, named=named, failed=f) if c["derived"]] for f in (False, True)]
    assert tools == [[50, 51], [50]]


def test_steps_follow_the_agent_that_asked() -> None:
    """A step is a model call and the tool calls of its agent after it."""
    calls = calls_of(agent(1), llm(2, 1, 1), agent(3, 1, 2), llm(4, 3, 3), tool(5, 1, 4), tool(6, 3, 5), tool(7, 1, 0))
    assert {c["span_id"]: c["step"] for c in calls} == {2: 1, 4: 2, 5: 1, 6: 2, 7: 0}


def test_retries_are_counted_or_inferred() -> None:
    """`retry_count` if it is told, else the same call right after its failure in one turn."""
    told = calls_of(agent(1), tool(2, 1, 1, retry_count=0), tool(3, 1, 2, retry_count=1))
    assert [c["retry"] for c in told] == [False, True]
    failed = tool(2, 1, 1, status="error", args_hash=4)
    assert [c["retry"] for c in calls_of(agent(1), failed, tool(3, 1, 2, args_hash=4))] == [False, True]
    assert [c["retry"] for c in calls_of(agent(1), failed, tool(3, 1, 2, args_hash=5))] == [False, False]
    turn = calls_of(agent(1), failed, llm(9, 1, 1.5), tool(3, 1, 2, args_hash=4))
    assert not any(c["retry"] for c in turn)


def test_quarantined_calls_do_not_count() -> None:
    """Whatever the reason of the quarantine, no call comes of the span."""
    for flag in (Flag.FOREIGN_TENANT, Flag.TIME_ABSURD, Flag.USAGE_ABSURD):
        assert len(calls_of(agent(1), llm(2, 1), llm(3, 1, flags=int(flag)), tool(4, 1, flags=int(flag)))) == 1


def test_calls_of_nothing_have_their_columns() -> None:
    """A run without calls is no special case."""
    arranged, runs = number_runs(inherit(arrange(frame(agent(1)))))
    calls = find_calls(arranged, parts(), runs["run"])
    assert calls.is_empty() and calls.schema["step"] == pl.Int32
