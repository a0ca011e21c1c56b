"""The rules that hold for the spans of every emitter."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collector.dialects.embedded import parse
from collector.dialects.engine import (
    CONTENT_FIELDS,
    FACET_COLUMNS,
    ID_FIELDS,
    IDENTITY_COLUMNS,
    NUMBER_COLUMNS,
    SELF_CHECK_SCOPE,
    SOURCE_COLUMNS,
    TABLES,
    normalise,
)
from collector.otlp.columns import decode
from collector.semconv import KINDS, Flag
from tests.collector.spans import described, request

ROOT = Path(__file__).parents[2]
ERROR = 2


def columns_of(table: str) -> list[str]:
    """Columns of a table of the collector's schema."""
    sql = (ROOT / "collector" / "schema" / "001_spans.sql").read_text()
    body = sql.split(f"CREATE TABLE {table} (")[1].split("\n);")[0]
    return [line.split()[0].strip('"') for line in body.splitlines() if line.strip()]


def test_descriptions_have_the_columns_of_their_tables() -> None:
    """The orders that the writer relies on are those of the schema."""
    assert columns_of("facets")[1:] == list(FACET_COLUMNS)
    assert columns_of("identities")[1:] == list(IDENTITY_COLUMNS)
    assert columns_of("sources")[1:] == list(SOURCE_COLUMNS)
    assert set(NUMBER_COLUMNS) <= set(columns_of("span_log"))


@pytest.mark.parametrize("bodies", [[], [b""], [request()], [request({})], [request({}), request({}, {})]])
def test_batches_of_nothing_and_of_bare_spans_work(bodies: list[bytes]) -> None:
    """No request, empty requests and spans without a single attribute are normal."""
    spans = decode(bodies)
    normalised = normalise(spans)
    assert len(normalised.kind) == len(normalised.flags) == len(spans)
    assert set(normalised.numbers) == set(NUMBER_COLUMNS)
    assert set(normalised.ids) == set(ID_FIELDS)
    assert set(normalised.content) == set(CONTENT_FIELDS)
    assert all(normalised.facet.rows[c][0] == "other" for c in normalised.facet.codes)


def test_the_own_dialect_maps_every_attribute_of_its_kinds() -> None:
    """Span name = kind; the attributes of P1 end in their columns."""
    run, plan, call, select, tool, check, read = described(
        {"name": "agent.run", "agent.name": "planner", "agent.version": "3", "goal_hash": "g", "status": "ok"},
        {"name": "agent.plan", "planner.model": "gpt-4o-mini", "plan.step_count": 4, "plan_hash": "p"},
        {
            "name": "llm.call",
            "model": "gpt-4o",
            "provider": "OpenAI",
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "cached_tokens": 60,
            "cache_write_tokens": 10,
            "reasoning_tokens": 5,
            "latency_ms": 12.5,
        },
        {"name": "agent.tool_select", "selector.version": "v3", "candidate_count": 30, "selected_count": 1},
        {
            "name": "tool.call",
            "tool.name": "sql.query",
            "tool.class": "read",
            "tool.action": "update",
            "tool.server": "mcp-db",
            "status": "error",
            "error_reason": "timeout",
            "retry_count": 2,
            "tool_args_hash": "ah",
            "tool_args_shape": "as",
            "tool_result_hash": "rh",
            "tool_args_bytes": 17,
            "tool_result_bytes": 19,
        },
        {"name": "policy.check", "policy.rule_id": "r1", "decision": "deny", "reason_code": "pii"},
        {"name": "memory.read", "store": "vector", "keys": "k1", "bytes": 640},
    )
    assert [r["kind"] for r in (run, plan, call, select, tool, check, read)] == [*KINDS[:6], "memory.read"]
    assert (run["agent"], run["agent_version"], run["subject_hash"]) == ("planner", "3", "g")
    assert (plan["planner_model"], plan["item_count"], plan["subject_hash"]) == ("gpt-4o-mini", 4, "p")
    assert (call["model"], call["provider"]) == ("gpt-4o", "openai")
    assert (call["input_tokens"], call["cache_read_tokens"], call["cache_write_tokens"]) == (100, 60, 10)
    assert (call["output_tokens"], call["reasoning_tokens"]) == (20, 5)
    assert (select["selector_version"], select["item_count"], select["selected_count"]) == ("v3", 30, 1)
    assert (tool["tool"], tool["tool_server"], tool["tool_class"]) == ("sql.query", "mcp-db", "read")
    assert (tool["tool_action"], tool["status"], tool["error_reason"]) == ("update", "error", "timeout")
    assert (tool["retry_count"], tool["args_bytes"], tool["result_bytes"]) == (2, 17, 19)
    assert (tool["args_hash"], tool["args_shape"], tool["result_hash"]) == ("ah", "as", "rh")
    assert (check["rule_id"], check["decision"], check["reason_code"]) == ("r1", "deny", "pii")
    assert (read["store"], read["result_bytes"]) == ("vector", 640)
    assert all(r["dialect"] == "spanledger" and r["mapping"] == "exact" for r in (run, plan, call, select, tool, check))


Span = dict[str, Any]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": {"b": 1}}', {"a": {"b": 1}}),
        ("{'a': None, 'b': [True, 1.5]}", {"a": None, "b": [True, 1.5]}),
        ("{'a': \"it's\"}", {"a": "it's"}),
        ("{'a': Wrapper(b=1)}", None),
        ("{a}", None),
        ("a", None),
        ("", None),
        ("{'a': " + "[" * 2000 + "]" * 2000 + "}", None),
    ],
)
def test_values_inside_attributes_are_json_or_short_python_literals(text: str, value: object) -> None:
    """Emitters print dictionaries both ways; anything else holds nothing."""
    assert parse(text) == value


def test_each_span_is_recognised_by_itself() -> None:
    """One request mixes dialects; each span keeps its own."""
    rows = described(
        {"name": "agent.run", "openinference.span.kind": "CHAIN"},
        {"name": "agent.run"},
        {"name": "x", "openinference.span.kind": "LLM", "gen_ai.operation.name": "chat"},
        {"name": "x", "traceloop.span.kind": "tool", "gen_ai.operation.name": "chat"},
        {"name": "x"},
    )
    assert [r["dialect"] for r in rows] == ["openinference", "spanledger", "openinference", "openllmetry", "raw"]
    assert [r["mapping"] for r in rows] == ["exact", "exact", "exact", "exact", "none"]


@pytest.mark.parametrize(
    ("attributes", "tenant"),
    [
        ({"organization.id": "o", "metadata.tenant": "m", "tenant.id": "i", "tenant": "t"}, "t"),
        ({"organization.id": "o", "metadata.tenant": "m", "tenant.id": "i"}, "i"),
        ({"organization.id": "o", "metadata.tenant": "m", "tenant": ""}, "m"),
        ({"organization.id": "o", "metadata": '{"tenant": "j"}'}, "j"),
        ({"organization.id": "o", "metadata": {"tenant": "kv"}}, "kv"),
        ({"organization.id": "o"}, "o"),
        ({"metadata": "tenant: no JSON"}, None),
    ],
)
def test_the_tenant_is_named_in_one_order(attributes: dict[str, Any], tenant: str | None) -> None:
    """tenant, tenant.id, metadata.tenant, organization.id; an empty text names nobody."""
    (row,) = described({"name": "agent.run"} | attributes)
    assert row["named_tenant"] == tenant


def test_a_resource_names_service_environment_and_tenant() -> None:
    """What the resource says is kept per source, also what it says of the tenant; without a name it is unknown."""
    resource = {"service.name": "s", "service.version": 2, "deployment.environment": "prod", "tenant.id": "acme"}
    (row,) = described({}, resource=resource | {"telemetry.sdk.name": "opentelemetry", "telemetry.sdk.language": "go"})
    assert (row["service"], row["service_version"], row["environment"]) == ("s", "2", "prod")
    assert (row["tenant"], row["sdk"]) == ("acme", "opentelemetry go")
    assert described({})[0]["service"] == "unknown_service"


@pytest.mark.parametrize(
    ("span", "status", "reason"),
    [
        ({"name": "agent.run", "code": ERROR}, "error", "other"),
        ({"name": "x", "code": ERROR, "message": "Error code: 429 - slow down"}, "error", "upstream_rate_limited"),
        ({"name": "x", "code": ERROR, "message": "took 4290 ms"}, "error", "other"),
        ({"name": "x", "error.type": "openai.AuthenticationError"}, "error", "auth_failed"),
        ({"name": "x", "error.type": "TimeoutError"}, "error", "timeout"),
        ({"name": "x", "code": ERROR, "http.response.status_code": 422}, "error", "validation_error"),
        ({"name": "x", "events": [("exception", {"exception.type": "ValueError"})]}, "ok", None),
        (
            {"name": "x", "code": ERROR, "events": [("exception", {"exception.type": "a.ValueError"})]},
            "error",
            "validation_error",
        ),
        ({"name": "policy.check", "decision": "block"}, "denied", None),
        ({"name": "policy.check", "decision": "allow"}, "ok", None),
    ],
)
def test_status_and_reason_of_a_failure(span: Span, status: str, reason: str | None) -> None:
    """An error is what the span status or error.type says; its reason is one of five; a denial is no error."""
    (row,) = described(span)
    assert (row["status"], row["error_reason"]) == (status, reason)


@pytest.mark.parametrize(
    ("stated", "status"), [("ok", "ok"), ("denied", "denied"), ("error", "error"), (None, "error")]
)
def test_the_own_status_attribute_beats_the_span_status(stated: str | None, status: str) -> None:
    """An own span that states ok is ok, whatever error it handled; elsewhere an error stays one."""
    (row,) = described({"name": "tool.call", "code": ERROR} | ({"status": stated} if stated else {}))
    assert row["status"] == status
    (other,) = described({"name": "chat", "gen_ai.tool.name": "t", "gen_ai.tool.status": "success", "code": ERROR})
    assert other["status"] == "error"


def test_flags_tell_what_the_span_itself_tells() -> None:
    """Sampling, the self-check and absurd usage are flagged; absurd numbers stay as they came."""
    sampled, full = described({"SampleRate": 10}, {"SampleRate": 1})
    assert sampled["flags"] == Flag.SAMPLED
    assert full["flags"] == 0
    assert described({}, scope=SELF_CHECK_SCOPE)[0]["flags"] == Flag.SELF_CHECK
    (absurd,) = described({"name": "llm.call", "prompt_tokens": -5, "completion_tokens": 2 * 10**9})
    assert absurd["flags"] == Flag.USAGE_ABSURD
    assert (absurd["input_tokens"], absurd["output_tokens"]) == (-5, 2 * 10**9)


def test_placeholders_for_withheld_content_are_no_content() -> None:
    """Two calls whose arguments were withheld are not calls with the same arguments."""
    spans = [
        {"name": "t", "openinference.span.kind": "TOOL", "input.value": "__REDACTED__"},
        {"name": "t", "openinference.span.kind": "TOOL", "input.value": '{"a": 1}'},
    ]
    assert (normalise(decode([request(*spans)])).content["args"] >= 0).tolist() == [False, True]
    held = {"name": "execute_tool t", "gen_ai.tool.name": "t", "gcp.vertex.agent.tool_call_args": "{}"}
    assert normalise(decode([request(held, scope="gcp.vertex.agent")])).content["args"].tolist() == [-1]


def test_only_listed_attributes_are_kept_and_all_others_counted() -> None:
    """Settings stay; everything that no table knows is counted by key, indexes folded."""
    spans = decode(
        [request({"name": "x", "gen_ai.request.temperature": 0.2, "a.0.b": "1", "a.12.b": "2", "tenant": "t"})]
    )
    normalised = normalise(spans)
    assert [spans.attributes.keys[spans.attributes.key[r]] for r in normalised.kept] == ["gen_ai.request.temperature"]
    assert normalised.dropped_keys == {"a.N.b": 2}


def test_dialects_come_most_specific_first() -> None:
    """The list of tables is the order of recognition, and ends with what recognises nothing."""
    names = [d.name for d in TABLES.dialects]
    order = ["claude-code", "openinference", "mlflow", "langsmith", "langfuse", "openllmetry", "mcp", "genai", "raw"]
    assert [n for n in names if n in order] == order
    assert np.all(np.diff([d.rank for d in TABLES.dialects]) > 0)
