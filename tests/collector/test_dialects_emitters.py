"""One span of each emitter that no capture holds, from its documented attributes."""

from typing import Any

import pytest

from collector.semconv import Flag
from tests.collector.spans import described

Span = dict[str, Any]

# scope, span, what must come out
EMITTERS: list[tuple[str, Span, dict[str, Any]]] = [
    (
        "opentelemetry.instrumentation.anthropic_raw",
        {
            "name": "chat claude",
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "anthropic",
            "gen_ai.request.model": "claude-sonnet-4-5",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 7,
            "gen_ai.usage.cache_read_input_tokens": 50,
        },
        {"dialect": "genai-legacy", "kind": "llm.call", "input_tokens": 150, "flags": Flag.USAGE_ASSUMED},
    ),
    (
        "agent",
        {
            "name": "chat gpt",
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 7,
            "gen_ai.usage.cache_write.input_tokens": 5,
            "gen_ai.usage.reasoning.output_tokens": 3,
            "gen_ai.response.time_to_first_chunk": 0.25,
        },
        {
            "dialect": "genai",
            "input_tokens": 100,
            "cache_write_tokens": 5,
            "reasoning_tokens": 3,
            "first_token_ns": 250_000_000,
        },
    ),
    (
        "agent",
        {
            "name": "run_guardrail pii",
            "gen_ai.operation.name": "run_guardrail",
            "gen_ai.guardrail.verdict.type": "escalate",
            "gen_ai.security.policy.rule.id": "pii",
            "gen_ai.guardrail.verdict.code": "c7",
        },
        {"kind": "policy.check", "decision": "deny", "decision_raw": "escalate", "rule_id": "pii", "reason_code": "c7"},
    ),
    (
        "agent",
        {"name": "search_memory", "gen_ai.operation.name": "search_memory", "gen_ai.memory.store.id": "m1"},
        {"kind": "memory.read", "store": "m1"},
    ),
    (
        "mcp",
        {
            "name": "tools/call get_weather",
            "kind": 2,
            "mcp.method.name": "tools/call",
            "error.type": "tool_error",
            "server.address": "weather.internal",
        },
        {
            "dialect": "mcp",
            "kind": "tool.call",
            "tool": "get_weather",
            "tool_server": "weather.internal",
            "status": "error",
            "dependency": None,
        },
    ),
    (
        "mcp-python-sdk",
        {"name": "MCP send tools/call get_weather", "mcp.method.name": "tools/call"},
        {"dialect": "mcp", "kind": "tool.call", "tool": "get_weather"},
    ),
    (
        "fastmcp",
        {"name": "tools/call get_weather", "mcp.method.name": "tools/call", "fastmcp.server.name": "weather"},
        {"tool": "get_weather", "tool_server": "weather"},
    ),
    ("mcp", {"name": "tools/list", "mcp.method.name": "tools/list"}, {"kind": "other", "mapping": "exact"}),
    (
        "mcp",
        {
            "name": "tools/call f",
            "mcp.method.name": "tools/call",
            "mcp.response.value": '{"content":[],"isError":true}',
        },
        {"kind": "tool.call", "tool": "f", "status": "error"},
    ),
    (
        "opentelemetry.instrumentation.langchain",
        {
            "name": "ChatAnthropic.chat",
            "llm.request.type": "chat",
            "gen_ai.system": "Anthropic",
            "gen_ai.usage.prompt_tokens": 90,
            "gen_ai.usage.completion_tokens": 9,
            "llm.usage.total_tokens": 99,
            "gen_ai.usage.cache_read_input_tokens": 30,
            "traceloop.association.properties.user_id": "u1",
            "traceloop.association.properties.tenant": "acme",
        },
        {
            "dialect": "openllmetry",
            "kind": "llm.call",
            "input_tokens": 90,
            "provider": "anthropic",
            "named_user": "u1",
            "named_tenant": "acme",
        },
    ),
    (
        "app",
        {"name": "triage.agent", "traceloop.span.kind": "agent", "traceloop.entity.name": "triage"},
        {"kind": "agent.run", "agent": "triage"},
    ),
    (
        "ai",
        {
            "name": "ai.generateText.doGenerate",
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.model.provider": "anthropic.messages",
            "ai.usage.promptTokens": 10,
            "ai.usage.completionTokens": 4,
            "ai.usage.cachedInputTokens": 400,
        },
        {"dialect": "vercel-ai", "provider": "anthropic", "input_tokens": 410, "flags": Flag.USAGE_ASSUMED},
    ),
    (
        "gen_ai",
        {"name": "step 1", "gen_ai.operation.name": "agent_step", "gen_ai.usage.input_tokens": 3},
        {"dialect": "vercel-ai", "kind": "other", "flags": Flag.AGGREGATE},
    ),
    (
        "pydantic-ai",
        {"name": "agent run", "agent_name": "bank", "model_name": "gpt-4o"},
        {"dialect": "pydantic-ai", "kind": "agent.run", "agent": "bank"},
    ),
    (
        "pydantic-ai",
        {
            "name": "execute_tool final_result",
            "gen_ai.operation.name": "execute_tool",
            "logfire.msg": "running output function: final_result",
        },
        {"kind": "other"},
    ),
    (
        "gcp.vertex.agent",
        {
            "name": "call_llm",
            "gen_ai.system": "gcp.vertex.agent",
            "gen_ai.request.model": "gemini-2.5-flash",
            "gcp.vertex.agent.invocation_id": "e-1",
            "gen_ai.usage.input_tokens": 8,
            "gen_ai.usage.output_tokens": 2,
        },
        {"dialect": "google-adk", "kind": "llm.call", "provider": "gcp.vertex_ai", "named_run_ref": "e-1"},
    ),
    ("gcp.vertex.agent", {"name": "agent_run [root]"}, {"kind": "agent.run", "agent": "root"}),
    ("gcp.vertex.agent", {"name": "execute_tool (merged tools)", "gen_ai.tool.name": "x"}, {"kind": "other"}),
    (
        "langsmith",
        {
            "name": "ChatOpenAI",
            "langsmith.span.kind": "llm",
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "langchain",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 50,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.usage.total_tokens": 55,
            "gen_ai.usage.input_token_details": '{"cache_read": 20}',
            "gen_ai.usage.output_token_details": '{"reasoning": 2}',
            "langsmith.metadata.thread_id": "t1",
        },
        {
            "dialect": "langsmith",
            "input_tokens": 50,
            "cache_read_tokens": 20,
            "reasoning_tokens": 2,
            "provider": None,
            "named_session": "t1",
            "flags": 0,
        },
    ),
    (
        "langsmith",
        {"name": "ChatPromptTemplate", "langsmith.span.kind": "prompt", "gen_ai.operation.name": "chat"},
        {"kind": "other"},
    ),
    (
        "mlflow",
        {
            "name": "Completions",
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.llm.model": '"gpt-4o"',
            "mlflow.chat.tokenUsage": '{"input_tokens": 30, "output_tokens": 3, "total_tokens": 33}',
            "mlflow.llm.cost": '{"total_cost": 0.00125}',
        },
        {
            "dialect": "mlflow",
            "kind": "llm.call",
            "model": "gpt-4o",
            "input_tokens": 30,
            "reported_pusd": 1_250_000_000,
        },
    ),
    (
        "mlflow",
        {
            "name": "Responses",
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.llm.model": '"gpt-4o-mini"',
            "mlflow.chat.tokenUsage": '{"input_tokens": 30, "output_tokens": 20, "total_tokens": 50}',
            "mlflow.spanOutputs": '{"id": "r-1", "model": "gpt-4o-mini-2024-07-18", '
            '"usage": {"output_tokens_details": {"reasoning_tokens": 9}}}',
        },
        {"model": "gpt-4o-mini-2024-07-18", "reasoning_tokens": 9, "response_id": "r-1"},
    ),
    (
        "mlflow",
        {"name": "search", "mlflow.spanType": "RETRIEVER"},
        {"kind": "tool.call", "tool": "search", "tool_class": "read"},
    ),
    (
        "langfuse-sdk",
        {
            "name": "answer",
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "claude-sonnet-4-5",
            "langfuse.observation.usage_details": '{"input": 10, "cache_read_input_tokens": 90, "output": 4, '
            '"output_reasoning_tokens": 6, "total": 110}',
        },
        {"dialect": "langfuse", "input_tokens": 100, "output_tokens": 10, "cache_read_tokens": 90, "flags": 0},
    ),
    (
        "agent_framework",
        {
            "name": "invoke_agent helper",
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "microsoft.agent_framework",
            "gen_ai.agent.name": "helper",
            "gen_ai.usage.input_tokens": 9,
        },
        {"dialect": "agent-framework", "kind": "agent.run", "provider": None, "flags": Flag.AGGREGATE},
    ),
    (
        "semantic_kernel.utils",
        {"name": "chat.completions gpt-4o", "gen_ai.operation.name": "chat.completions", "gen_ai.system": "openai"},
        {"dialect": "agent-framework", "kind": "llm.call"},
    ),
    (
        "openinference.instrumentation.smolagents",
        {"name": "CodeAgent.run", "openinference.span.kind": "AGENT"},
        {"dialect": "openinference", "kind": "agent.run", "agent": "CodeAgent"},
    ),
    (
        "openinference.instrumentation.llama_index",
        {"name": "VectorIndexRetriever.retrieve", "openinference.span.kind": "RETRIEVER"},
        {"kind": "tool.call", "tool_class": "read"},
    ),
    (
        "autogen-core",
        {"name": "execute_tool calc", "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "calc"},
        {"dialect": "autogen", "kind": "tool.call", "tool": "calc"},
    ),
    (
        "litellm",
        {
            "name": "litellm_request",
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.cost.total_cost": 0.0,
        },
        {"dialect": "litellm", "kind": "llm.call", "reported_pusd": None, "input_tokens": None},
    ),
    (
        "http",
        {"name": "GET", "kind": 3, "server.address": "api.example"},
        {"dialect": "raw", "dependency": "api.example"},
    ),
]


@pytest.mark.parametrize(("scope", "span", "expected"), EMITTERS, ids=[f"{s}:{v['name']}" for s, v, _ in EMITTERS])
def test_one_span_of_each_emitter(scope: str, span: Span, expected: dict[str, Any]) -> None:
    """Kind, names and canonical numbers of emitters that no capture holds."""
    (row,) = described(span, scope=scope)
    assert {k: row.get(k) for k in expected} == expected


def test_a_batch_says_the_same_as_its_spans_alone() -> None:
    """No span's description depends on its neighbours."""
    spans = [span for _, span, _ in EMITTERS]
    together = described(*spans)
    alone = [described(span)[0] for span in spans]
    for row, single in zip(together, alone, strict=True):
        assert {**row, "span_id": 1} == single
