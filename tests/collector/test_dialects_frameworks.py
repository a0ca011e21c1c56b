"""One span of each framework and instrumentation that was run against a model server of known truth, as it came."""

from typing import Any

import pytest

from tests.collector.spans import described

Span = dict[str, Any]

# scope, span, what must come out
SEEN: list[tuple[str, Span, dict[str, Any]]] = [
    (
        "logfire.openai",
        {
            "name": "streaming response from {request_data[model]!r} took {duration:.2f}s",
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.usage.input_tokens": 210,
            "gen_ai.usage.output_tokens": 21,
            "gen_ai.usage.raw": '{"prompt_tokens": 210, "prompt_tokens_details": {"cached_tokens": 40}, '
            '"completion_tokens_details": {"reasoning_tokens": 9}}',
        },
        {"dialect": "genai", "kind": "llm.call", "cache_read_tokens": 40, "reasoning_tokens": 9, "flags": 0},
    ),
    (
        "logfire.anthropic",
        {
            "name": "Message with {request_data[model]!r}",
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.usage.input_tokens": 210,
            "gen_ai.usage.output_tokens": 21,
            "gen_ai.usage.raw": '{"input_tokens": 154, "cache_read_input_tokens": 40, '
            '"cache_creation_input_tokens": 16, "cache_creation": {"ephemeral_1h_input_tokens": 6}}',
        },
        {"input_tokens": 210, "cache_read_tokens": 40, "cache_write_tokens": 16, "cache_write_1h_tokens": 6},
    ),
    (
        "openinference.instrumentation.llama_index",
        {"name": "OpenAI._prepare_chat_with_tools", "openinference.span.kind": "LLM", "llm.model_name": "gpt-4o-mini"},
        {"kind": "other", "mapping": "exact"},
    ),
    (
        "openinference.instrumentation.llama_index",
        {"name": "FunctionAgent.run", "openinference.span.kind": "CHAIN"},
        {"kind": "agent.run", "agent": "FunctionAgent"},
    ),
    (
        "openinference.instrumentation.llama_index",
        {"name": "FunctionTool.acall", "openinference.span.kind": "TOOL", "tool.name": "handoff"},
        {"kind": "other"},
    ),
    (
        "openinference.instrumentation.dspy",
        {"name": "get_weather.__call__", "openinference.span.kind": "TOOL"},
        {"kind": "tool.call", "tool": "get_weather"},
    ),
    (
        "openinference.instrumentation.dspy",
        {"name": "finish.__call__", "openinference.span.kind": "TOOL"},
        {"kind": "other"},
    ),
    (
        "openinference.instrumentation.dspy",
        {"name": "ReAct.forward", "openinference.span.kind": "CHAIN"},
        {"kind": "agent.run", "agent": "ReAct"},
    ),
    (
        "openinference.instrumentation.smolagents",
        {"name": "FinalAnswerTool", "openinference.span.kind": "TOOL", "tool.name": "final_answer"},
        {"kind": "other"},
    ),
    (
        "openinference.instrumentation.smolagents",
        {
            "name": "OpenAIModel.generate",
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o-mini",
            "llm.token_count.prompt": 210,
            "llm.token_count.completion": 21,
            "output.value": "{\"raw\": \"ChatCompletion(id='c-1', choices=[], model='gpt-4o-mini-2024-07-18', "
            "usage=CompletionUsage(details=Details(reasoning_tokens=9), prompt=Prompt(audio_tokens=0, "
            'cached_tokens=40, image_tokens=None)))"}',
        },
        {"model": "gpt-4o-mini-2024-07-18", "cache_read_tokens": 40, "reasoning_tokens": 9, "response_id": "c-1"},
    ),
    (
        "langsmith",
        {
            "name": "ChatOpenAI 1.7",
            "langsmith.span.kind": "llm",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.usage.input_tokens": 210,
            "gen_ai.usage.output_tokens": 21,
            "langsmith.metadata.usage_metadata": '{"input_token_details": {"cache_read": 40}, '
            '"output_token_details": {"reasoning": 9}}',
            "gen_ai.completion": '{"llm_output": {"model_name": "gpt-4o-mini-2024-07-18", "id": "c-1"}}',
        },
        {"model": "gpt-4o-mini-2024-07-18", "cache_read_tokens": 40, "reasoning_tokens": 9, "response_id": "c-1"},
    ),
    (
        "opentelemetry.instrumentation.bedrock",
        {
            "name": "chat claude-3-5-sonnet-20241022-v2:0",
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "aws.bedrock",
            "gen_ai.usage.input_tokens": 154,
            "gen_ai.usage.output_tokens": 21,
            "gen_ai.usage.total_tokens": 175,
            "gen_ai.usage.cache_read.input_tokens": 40,
            "gen_ai.usage.cache_creation.input_tokens": 16,
        },
        {"dialect": "openllmetry-bedrock", "input_tokens": 210, "cache_read_tokens": 40, "cache_write_tokens": 16},
    ),
    (
        "agentops.instrumentation.providers.openai.wrappers.chat",
        {"name": "tool_call.get_weather", "agentops.span.kind": "AgentOpsSpanKindValues.TOOL", "tool.call.id": "c-1"},
        {"dialect": "agentops", "kind": "tool.call", "tool": "get_weather", "call_id": "c-1"},
    ),
    (
        "openlit.instrumentation.openai",
        {
            "name": "chat gpt-4o-mini",
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.tool.name": "get_weather",
            "gen_ai.usage.input_tokens": 210,
            "gen_ai.usage.output_tokens": 21,
            "gen_ai.server.time_to_first_token": 0.25,
        },
        {"dialect": "openlit", "kind": "llm.call", "input_tokens": 210, "first_token_ns": 250_000_000},
    ),
    (
        "gemini-cli",
        {
            "name": "tool_call",
            "gen_ai.operation.name": "tool_call",
            "gen_ai.tool.name": "read_file",
            "gen_ai.tool.call_id": "read-1",
        },
        {"dialect": "gemini-cli", "kind": "tool.call", "tool": "read_file", "call_id": "read-1"},
    ),
]


@pytest.mark.parametrize(("scope", "span", "expected"), SEEN, ids=[f"{s}:{v['name']}" for s, v, _ in SEEN])
def test_one_span_of_each_framework(scope: str, span: Span, expected: dict[str, Any]) -> None:
    """Kind, names and canonical numbers from the attributes that the real package sends."""
    (row,) = described(span, scope=scope)
    assert {k: row.get(k) for k in expected} == expected


@pytest.mark.parametrize(
    ("sent", "user"), [('"bob"', "bob"), ("bob", "bob"), ('"<openai.Omit object at 0x7f3fcd43f490>"', None)]
)
def test_a_name_is_no_print_of_an_object(sent: str, user: str | None) -> None:
    """MLflow sends arguments as JSON texts, and those that were not given as Python prints them."""
    (row,) = described({"name": "Completions", "mlflow.spanType": '"CHAT_MODEL"', "user": sent})
    assert row["named_user"] == user
