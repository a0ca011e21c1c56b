"""Log events of coding agents as spans: placed, named, and the same again when they are sent again."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from collector.dialects.engine import normalise
from collector.dialects.events import NAMELESS, REDUNDANT, UNKNOWN, spans_of_logs
from collector.otlp.columns import SpanColumns, decode
from tests.collector.captures import table

CLAUDE = "com.anthropic.claude_code.events"
CODEX = "codex_otel.log_only"
GEMINI = "gemini-cli"
NOW_NS = 1_795_240_000 * 10**9
TURN = {"session.id": "s", "prompt.id": "p"}


def any_value(value: Any) -> AnyValue:
    """A scalar as it travels."""
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(double_value=value) if isinstance(value, float) else AnyValue(string_value=value)


def body(*records: dict[str, Any], scope: str = CLAUDE, **fields: Any) -> bytes:
    """A logs request; each record is given by its attributes, `fields` are those of all records."""
    message = ExportLogsServiceRequest()
    logs = message.resource_logs.add().scope_logs.add()
    logs.scope.name = scope
    for number, attributes in enumerate(records):
        record = logs.log_records.add(**{"time_unix_nano": NOW_NS + number, **fields})
        record.body.string_value = "what was said"
        record.attributes.extend(KeyValue(key=k, value=any_value(v)) for k, v in attributes.items())
    return message.SerializeToString()


def spans(*records: dict[str, Any], **fields: Any) -> SpanColumns:
    """The spans of some records."""
    return decode([spans_of_logs(body(*records, **fields)).body])


def rows(*records: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    """The same, normalised."""
    return table(normalise(spans(*records, **fields)))


def test_records_of_one_turn_without_trace_are_one_trace() -> None:
    """Session and turn make the trace; the prompt is its root, whatever comes first."""
    call = {"event.name": "api_request", "request_id": "r"} | TURN
    made = spans(call, {"event.name": "user_prompt"} | TURN, call | {"prompt.id": "q"}, call | {"session.id": "t"})
    traces = [(int(hi), int(lo)) for hi, lo in zip(made.trace_hi, made.trace_lo, strict=True)]
    assert traces[0] == traces[1]
    assert len(set(traces)) == 3
    assert made.parent_id[0] == made.span_id[1]
    assert made.parent_id[1] == 0
    assert len(set(made.span_id.tolist())) == 4


def test_the_emitters_own_trace_wins() -> None:
    """A record that carries ids lies in that trace, below that span; a prompt begins a run even so."""
    ids = {"trace_id": b"t" * 16, "span_id": b"s" * 8}
    made = spans({"event.name": "api_request"} | TURN, {"event.name": "user_prompt"} | TURN, **ids)
    assert made.trace_hi.tolist() == [int.from_bytes(b"t" * 8, "big")] * 2
    assert made.parent_id.tolist() == [int.from_bytes(b"s" * 8, "big"), 0]


def test_damaged_ids_are_none() -> None:
    """Ids of a wrong length, or all zero, count as absent."""
    for ids in ({"trace_id": b"t" * 15, "span_id": b"s" * 8}, {"trace_id": bytes(16), "span_id": bytes(8)}):
        made = spans({"event.name": "user_prompt"} | TURN, {"event.name": "api_request"} | TURN, **ids)
        assert made.rejected.tolist() == [0, 0]
        assert made.parent_id[1] == made.span_id[0]


def test_a_record_ends_when_it_was_logged() -> None:
    """The duration, a number or its text, goes back from there; without a time the observed one counts."""
    for duration in (1500, "1500", 1500.0):
        made = spans({"event.name": "api_request", "duration_ms": duration} | TURN)
        assert made.start_ns.tolist() == [NOW_NS - 1_500_000_000]
        assert made.duration_ns.tolist() == [1_500_000_000]
    fields = {"time_unix_nano": 0, "observed_time_unix_nano": NOW_NS}
    assert spans({"event.name": "api_request", "duration_ms": "soon"} | TURN, **fields).start_ns.tolist() == [NOW_NS]
    assert spans({"event.name": "api_request", "duration_ms": -5.0} | TURN).duration_ns.tolist() == [0]


def test_what_is_not_understood_is_told_apart() -> None:
    """Other scopes and unknown events are refused, known events that add nothing are dropped, both counted."""
    assert spans_of_logs(body({}, {}, scope="app.logger")).others == {UNKNOWN: 2}
    found = spans_of_logs(body({"event.name": "brand_new"} | TURN, {"event.name": "plugin_loaded"}, {}))
    assert found.others == {UNKNOWN: 2, REDUNDANT: 1}
    assert spans_of_logs(body({"event.name": "api_request"})).others == {NAMELESS: 1}
    assert not spans_of_logs(body({"event.name": "api_request"})).body


def test_claude_counts_buckets_apart() -> None:
    """Four disjoint buckets become an inclusive total with its parts, one of them the one-hour writes."""
    used = {"input_tokens": 10, "cache_read_tokens": "20", "cache_creation_tokens": 30, "output_tokens": "5"}
    (row,) = rows({"event.name": "api_request", "cache_creation_1h_tokens": 12, "cost_usd": 0.25} | used | TURN)
    assert (row["kind"], row["input_tokens"], row["output_tokens"]) == ("llm.call", 60, 5)
    assert (row["cache_read_tokens"], row["cache_write_tokens"], row["cache_write_1h_tokens"]) == (20, 30, 12)
    assert row["reported_pusd"] == 250_000_000_000


def test_failures_and_refusals_are_told() -> None:
    """A failed request, a failed tool, a rejected tool: error, error, denied."""
    failed = {"event.name": "api_error", "status_code": "529", "error": "Overloaded"}
    tool = {"event.name": "tool_result", "success": "false", "tool_name": "Bash"}
    denied = {"event.name": "tool_decision", "decision": "reject", "tool_name": "Bash"}
    told = [(r["kind"], r["status"]) for r in rows(failed | TURN, tool | TURN, denied | TURN)]
    assert told == [("llm.call", "error"), ("tool.call", "error"), ("policy.check", "denied")]


def test_codex_tells_tokens_once() -> None:
    """Of two records for the end of an answer the one with tokens counts; requests count only where they failed."""
    talk = {"conversation.id": "c", "model": "gpt-5.5"}
    end = talk | {"event.name": "codex.sse_event", "event.kind": "response.completed"}
    used = {"input_token_count": "100", "output_token_count": "7", "cached_token_count": 40, "tool_token_count": "107"}
    asked = talk | {"event.name": "codex.api_request", "http.response.status_code": 200}
    failed = asked | {"http.response.status_code": 429, "error.message": "http 429"}
    made = rows(end, end | used, asked, failed, scope=CODEX)
    assert [(r["kind"], r["status"], r.get("input_tokens")) for r in made] == [
        ("llm.call", "ok", 100),
        ("llm.call", "error", None),
    ]
    assert (made[0]["cache_read_tokens"], made[0]["model"], made[1]["error_reason"]) == (
        40,
        "gpt-5.5",
        "upstream_rate_limited",
    )


def test_codex_refusals_differ_from_failures() -> None:
    """Only the words of the answer tell a refusal from a failure; a failure whose output says other things is one."""
    tool = {"conversation.id": "c", "event.name": "codex.tool_result", "tool_name": "shell", "success": "false"}
    refused = tool | {"output": "approval policy is Never; reject command - you cannot ask"}
    told = rows(tool | {"output": "no such file"}, refused, tool | {"success": "true", "output": "ok"}, scope=CODEX)
    assert [r["status"] for r in told] == ["error", "denied", "ok"]


def gemini(event: str, **attributes: Any) -> dict[str, Any]:
    """A record of Gemini CLI's third prompt."""
    return {"event.name": f"gemini_cli.{event}", "session.id": "s", "prompt_id": "s########2"} | attributes


def test_gemini_counts_thoughts_beside_its_output() -> None:
    """The output is what was said: thoughts are added; cached tokens are part of the input. A prompt is a run."""
    used = {"input_token_count": 100, "output_token_count": 7, "cached_content_token_count": 40}
    used |= {"thoughts_token_count": 5, "tool_token_count": 0, "total_token_count": 112, "status_code": 200}
    run, call = rows(
        gemini("user_prompt", prompt_length=4),
        gemini("api_response", model="gemini-2.5-pro", duration_ms=900, finish_reasons="stop", **used),
        scope=GEMINI,
    )
    assert (run["kind"], run["agent"], run["named_session"], run["named_run_ref"]) == (
        "agent.run",
        "gemini-cli",
        "s",
        "s########2",
    )
    assert call["parent_id"] == run["span_id"]
    assert (call["kind"], call["model"], call["provider"]) == ("llm.call", "gemini-2.5-pro", "gcp.gemini")
    assert (call["input_tokens"], call["cache_read_tokens"]) == (100, 40)
    assert (call["output_tokens"], call["reasoning_tokens"]) == (12, 5)


def test_gemini_tells_failures_and_refusals() -> None:
    """A failed request, a failed tool and one that the user rejected; records of one moment stay apart."""
    tool = {"function_name": "run_shell_command", "function_args": '{"command": "ls"}', "tool_type": "native"}
    told = rows(
        gemini("api_error", model="gemini-2.5-pro", error="quota", error_type="ApiError", status_code=429),
        gemini("tool_call", success=True, decision="auto_accept", mcp_server_name="files", **tool),
        gemini("tool_call", success=False, error="exit 1", error_type="shell_execute_error", **tool),
        gemini("tool_call", success=False, decision="reject", **tool),
        scope=GEMINI,
        time_unix_nano=NOW_NS,
    )
    assert [(r["kind"], r["status"]) for r in told] == [
        ("llm.call", "error"),
        ("tool.call", "ok"),
        ("tool.call", "error"),
        ("tool.call", "denied"),
    ]
    assert (told[0]["error_reason"], told[1]["tool"], told[1]["tool_server"]) == (
        "upstream_rate_limited",
        "run_shell_command",
        "files",
    )
    assert len({r["span_id"] for r in told}) == 4


def test_gemini_tells_a_call_twice() -> None:
    """The request before it and the record in the words of the conventions add nothing."""
    again = {"event.name": "gen_ai.client.inference.operation.details", "session.id": "s"}
    found = spans_of_logs(body(gemini("api_request"), again, gemini("brand_new"), scope=GEMINI))
    assert found.others == {REDUNDANT: 2, UNKNOWN: 1}


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["event.name", "session.id", "prompt.id", "duration_ms", "event.sequence", "cost_usd"]),
            st.one_of(st.text(max_size=8), st.integers(-(2**63), 2**63 - 1), st.floats(), st.just("api_request")),
        ),
        max_size=5,
    ),
    st.binary(max_size=17),
    st.integers(0, 2**64 - 1),
)
def test_any_record_is_taken_or_told(records: list[dict[str, Any]], trace_id: bytes, time: int) -> None:
    """Whatever stands in the attributes: each record becomes one valid span or is counted, and twice the same."""
    sent = body(*records, trace_id=trace_id, span_id=trace_id[:8], time_unix_nano=time)
    found = spans_of_logs(sent)
    made = decode([found.body])
    assert len(made) + sum(found.others.values()) == len(records)
    assert not made.rejected.any()
    assert (made.duration_ns >= 0).all()
    assert spans_of_logs(sent) == found
    normalise(made)
