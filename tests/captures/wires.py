"""The APIs of model providers, as far as agents use them: requests read, answers written, whole or as a stream."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tests.captures import texts
from tests.captures.plan import Request, Step, Tool, Usage

Events = list[tuple[str, dict[str, Any]]]  # name of the event (empty: none) and its data

SNAPSHOTS = {
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "gemini-2.5-flash": "gemini-2.5-flash-preview-09-2025",
}
"""The model that answers, by the one that was asked for."""


@dataclass(frozen=True)
class Reply:
    """What is answered to the nth request of a server."""

    n: int
    server: str
    request: Request
    step: Step
    usage: Usage

    @property
    def model(self) -> str:
        """The model that answers."""
        return SNAPSHOTS.get(self.request.model, self.request.model)

    @property
    def key(self) -> str:
        """What makes ids of this reply unlike those of any other."""
        return f"{self.server}{self.n:04}"

    @property
    def arguments(self) -> str:
        """Arguments of the tool call as JSON text."""
        return json.dumps(self.step.arguments)

    @property
    def pieces(self) -> list[str]:
        """The text in two parts, as a stream sends it."""
        half = len(self.step.text) // 2
        return [self.step.text[:half], self.step.text[half:]]


def _tool(name: str, schema: dict[str, Any] | None) -> Tool:
    """A tool with the properties that its schema requires."""
    properties: dict[str, Any] = (schema or {}).get("properties") or {}
    required = (schema or {}).get("required", properties)
    return Tool(name, {p: properties[p] for p in properties if p in required})


# ---------------------------------------------------------------------------------------------- chat completions


def read_chat(body: dict[str, Any], _: str) -> Request:
    """OpenAI's chat completions, and everybody's who copies them."""
    called = [c["function"]["name"] for m in body["messages"] for c in m.get("tool_calls") or []]
    tools = [_tool(t["function"]["name"], t["function"].get("parameters")) for t in body.get("tools") or []]
    in_text = texts.read(body["messages"])
    called, tools = called + in_text.called, tools + in_text.tools
    wants = (body.get("stream_options") or {}).get("include_usage", False)
    return Request(
        body["model"], tools, called, body.get("stream") or False, wants or not body.get("stream"), in_text.form
    )


def _chat_usage(u: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": u.input,
        "completion_tokens": u.output,
        "total_tokens": u.input + u.output,
        "prompt_tokens_details": {"cached_tokens": u.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": u.reasoning, "audio_tokens": 0},
    }


def _chat_head(r: Reply, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{r.key}", "object": kind, "created": 1_795_200_000 + r.n, "model": r.model}


def _chat_call(r: Reply) -> dict[str, Any]:
    return {
        "id": f"call_{r.key}",
        "type": "function",
        "function": {"name": r.step.tool, "arguments": r.arguments},
    }


def chat(r: Reply) -> dict[str, Any]:
    """A whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": r.step.text or None}
    if r.step.tool:
        message["tool_calls"] = [_chat_call(r)]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if r.step.tool else "stop"}
    return _chat_head(r, "chat.completion") | {"choices": [choice], "usage": _chat_usage(r.usage)}


def chat_events(r: Reply) -> Events:
    """A stream; its usage comes last, if it was asked for."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "" if r.step.text else None}]
    if r.step.tool:
        deltas.append({"tool_calls": [{"index": 0} | _chat_call(r)]})
    else:
        deltas += [{"content": piece} for piece in r.pieces]
    head = _chat_head(r, "chat.completion.chunk")
    chunks = [head | {"choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    reason = "tool_calls" if r.step.tool else "stop"
    chunks.append(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    if r.request.wants_usage:
        chunks.append(head | {"choices": [], "usage": _chat_usage(r.usage)})
    return [("", c) for c in chunks]


# ------------------------------------------------------------------------------------------------- responses API

_HISTORY: dict[str, list[str]] = {}  # tools called until a response


def read_responses(body: dict[str, Any], _: str) -> Request:
    """OpenAI's Responses API."""
    items = body["input"] if isinstance(body["input"], list) else []
    called = [*_HISTORY.get(body.get("previous_response_id") or "", ())]
    called += [i["name"] for i in items if i.get("type") == "function_call"]
    tools = [_tool(t["name"], t.get("parameters")) for t in body.get("tools") or [] if t["type"] == "function"]
    return Request(body["model"], tools, called, body.get("stream") or False)


def responses(r: Reply) -> dict[str, Any]:
    """A whole answer."""
    response_id = f"resp_{r.key}"
    if r.step.tool:
        item: dict[str, Any] = {
            "type": "function_call",
            "id": f"fc_{r.key}",
            "call_id": f"call_{r.key}",
            "name": r.step.tool,
            "arguments": r.arguments,
            "status": "completed",
        }
    else:
        text = {"type": "output_text", "text": r.step.text, "annotations": [], "logprobs": []}
        item = {"type": "message", "id": f"msg_{r.key}", "role": "assistant", "status": "completed", "content": [text]}
    _HISTORY[response_id] = [*r.request.called, *([r.step.tool] if r.step.tool else [])]
    return {
        "id": response_id,
        "object": "response",
        "created_at": 1_795_200_000 + r.n,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": r.model,
        "output": [item],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "top_p": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "service_tier": "default",
        "usage": {
            "input_tokens": r.usage.input,
            "input_tokens_details": {"cached_tokens": r.usage.cached, "cache_write_tokens": 0},
            "output_tokens": r.usage.output,
            "output_tokens_details": {"reasoning_tokens": r.usage.reasoning},
            "total_tokens": r.usage.input + r.usage.output,
        },
    }


def responses_events(r: Reply) -> Events:
    """A stream; the last event holds the whole answer."""
    done = responses(r)
    item = done["output"][0]
    at = {"item_id": item["id"], "output_index": 0}
    begun = done | {"status": "in_progress", "output": [], "usage": None}
    events: Events = [("response.created", {"response": begun}), ("response.in_progress", {"response": begun})]
    if r.step.tool:
        empty = item | {"arguments": "", "status": "in_progress"}
        events += [
            ("response.output_item.added", {"output_index": 0, "item": empty}),
            ("response.function_call_arguments.delta", at | {"delta": r.arguments}),
            ("response.function_call_arguments.done", at | {"arguments": r.arguments, "name": r.step.tool}),
        ]
    else:
        part, place = item["content"][0], at | {"content_index": 0}
        events += [
            ("response.output_item.added", {"output_index": 0, "item": item | {"content": []}}),
            ("response.content_part.added", place | {"part": part | {"text": ""}}),
            *(("response.output_text.delta", place | {"delta": p, "logprobs": []}) for p in r.pieces),
            ("response.output_text.done", place | {"text": part["text"], "logprobs": []}),
            ("response.content_part.done", place | {"part": part}),
        ]
    events.append(("response.output_item.done", {"output_index": 0, "item": item}))
    events.append(("response.completed", {"response": done}))
    return [(name, {"type": name, "sequence_number": i} | data) for i, (name, data) in enumerate(events)]


# ------------------------------------------------------------------------------------------------------ Anthropic


def read_messages(body: dict[str, Any], _: str) -> Request:
    """Anthropic's messages."""
    blocks = [b for m in body["messages"] if isinstance(m["content"], list) for b in m["content"]]
    called = [b["name"] for b in blocks if b.get("type") == "tool_use"]
    tools = [_tool(t["name"], t.get("input_schema")) for t in body.get("tools") or []]
    return Request(body["model"], tools, called, body.get("stream") or False)


def messages(r: Reply) -> dict[str, Any]:
    """A whole answer. The input of the wire leaves out what the cache held."""
    block: dict[str, Any] = {"type": "text", "text": r.step.text}
    if r.step.tool:
        block = {"type": "tool_use", "id": f"toolu_{r.key}", "name": r.step.tool, "input": r.step.arguments}
    return {
        "id": f"msg_{r.key}",
        "type": "message",
        "role": "assistant",
        "model": r.model,
        "content": [block],
        "stop_reason": "tool_use" if r.step.tool else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": r.usage.input - r.usage.cached - r.usage.cache_write,
            "cache_read_input_tokens": r.usage.cached,
            "cache_creation_input_tokens": r.usage.cache_write,
            "output_tokens": r.usage.output,
            "service_tier": "standard",
        },
    }


def messages_events(r: Reply) -> Events:
    """A stream; the input counts come first, the output count last."""
    whole = messages(r)
    block, usage = whole["content"][0], whole["usage"]
    begun = whole | {"content": [], "stop_reason": None, "usage": usage | {"output_tokens": 1}}
    if r.step.tool:
        start, deltas = block | {"input": {}}, [{"type": "input_json_delta", "partial_json": r.arguments}]
    else:
        start, deltas = block | {"text": ""}, [{"type": "text_delta", "text": p} for p in r.pieces]
    last = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    events: Events = [
        ("message_start", {"message": begun}),
        ("content_block_start", {"index": 0, "content_block": start}),
        *(("content_block_delta", {"index": 0, "delta": d}) for d in deltas),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": last, "usage": {"output_tokens": r.usage.output}}),
        ("message_stop", {}),
    ]
    return [(name, {"type": name} | data) for name, data in events]


# --------------------------------------------------------------------------------------------------------- Gemini


def read_gemini(body: dict[str, Any], path: str) -> Request:
    """Gemini's generateContent; the model stands in the path."""
    model, verb = path.rsplit("/", 1)[-1].split(":")
    parts = [p for c in body["contents"] for p in c.get("parts", [])]
    called = [p["functionCall"]["name"] for p in parts if "functionCall" in p]
    declared = [d for t in body.get("tools") or [] for d in t.get("functionDeclarations", [])]
    schemas: list[dict[str, Any]] = [
        next((v for k, v in d.items() if k.startswith("parameters") and v), {}) for d in declared
    ]
    tools = [_tool(d["name"], schema) for d, schema in zip(declared, schemas, strict=True)]
    return Request(model, tools, called, verb.startswith("stream"))


def gemini(r: Reply) -> dict[str, Any]:
    """A whole answer. Thoughts stand beside the output."""
    part: dict[str, Any] = {"text": r.step.text}
    if r.step.tool:
        part = {"functionCall": {"name": r.step.tool, "args": r.step.arguments}}
    return {
        "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [part]}}],
        "usageMetadata": {
            "promptTokenCount": r.usage.input,
            "cachedContentTokenCount": r.usage.cached,
            "candidatesTokenCount": r.usage.output - r.usage.reasoning,
            "thoughtsTokenCount": r.usage.reasoning,
            "totalTokenCount": r.usage.input + r.usage.output,
        },
        "modelVersion": r.model,
        "responseId": f"gem-{r.key}",
    }


def gemini_events(r: Reply) -> Events:
    """A stream of one answer."""
    return [("", gemini(r))]


# -------------------------------------------------------------------------------------------------------- Bedrock


def read_converse(body: dict[str, Any], path: str) -> Request:
    """Bedrock's Converse; the model stands in the path."""
    blocks = [b for m in body["messages"] for b in m["content"]]
    called = [b["toolUse"]["name"] for b in blocks if "toolUse" in b]
    specs = [t["toolSpec"] for t in body.get("toolConfig", {}).get("tools", [])]
    return Request(unquote(path.split("/")[2]), [_tool(t["name"], t["inputSchema"]["json"]) for t in specs], called)


def converse(r: Reply) -> dict[str, Any]:
    """A whole answer. The input leaves out what the cache held; no model is named."""
    block: dict[str, Any] = {"text": r.step.text}
    if r.step.tool:
        block = {"toolUse": {"toolUseId": f"tooluse_{r.key}", "name": r.step.tool, "input": r.step.arguments}}
    plain = r.usage.input - r.usage.cached - r.usage.cache_write
    return {
        "output": {"message": {"role": "assistant", "content": [block]}},
        "stopReason": "tool_use" if r.step.tool else "end_turn",
        "usage": {
            "inputTokens": plain,
            "outputTokens": r.usage.output,
            "totalTokens": r.usage.input + r.usage.output,
            "cacheReadInputTokens": r.usage.cached,
            "cacheWriteInputTokens": r.usage.cache_write,
        },
        "metrics": {"latencyMs": 30},
    }


@dataclass(frozen=True)
class Wire:
    """One API: how a request is read, how it is answered, and as a stream."""

    api: str
    read: Callable[[dict[str, Any], str], Request]
    whole: Callable[[Reply], dict[str, Any]]
    events: Callable[[Reply], Events]


WIRES: dict[str, Wire] = {  # by a part of the path
    "/chat/completions": Wire("chat", read_chat, chat, chat_events),
    "/responses": Wire("responses", read_responses, responses, responses_events),
    "/messages": Wire("messages", read_messages, messages, messages_events),
    "/converse": Wire("converse", read_converse, converse, lambda r: [("", converse(r))]),
    "enerateContent": Wire("gemini", read_gemini, gemini, gemini_events),
}
