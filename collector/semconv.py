"""The canonical model: span kinds, columns and flags. A leaf: it imports nothing of the project.

A stored span is one row of `spans` (numbers only) that points at three small dictionaries of
descriptions: `facets` (what the span is), `identities` (whom it names) and `sources` (who sent it).
Descriptions repeat endlessly, so a span costs a few integers instead of thirty text columns; the view
`span_details` puts everything back together. Two dictionary rows may hold the same description:
join through the id, group by the text.
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import Literal

Kind = Literal[
    "agent.run",
    "agent.plan",
    "llm.call",
    "agent.tool_select",
    "tool.call",
    "policy.check",
    "memory.read",
    "memory.write",
    "other",
]

KINDS: tuple[Kind, ...] = (
    "agent.run",
    "agent.plan",
    "llm.call",
    "agent.tool_select",
    "tool.call",
    "policy.check",
    "memory.read",
    "memory.write",
    "other",
)

TOKENS = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "input_audio_tokens", "output_audio_tokens",
)  # fmt: skip
"""What a model call counts. Input and output are totals; the others are parts of them."""

ERROR_REASONS = ("validation_error", "upstream_rate_limited", "auth_failed", "timeout", "other")

Place = Literal["span", "facet", "identity", "source"]
Type = Literal["text", "int", "float", "usd", "seconds", "milliseconds", "bool", "content", "id"]


@dataclass(frozen=True)
class Field:
    """One canonical field that a dialect can fill.

    `place`: which table holds it. `type`: what the emitter's value is read as: `content` is hashed and
    dropped, `id` keeps only a keyed hash, `usd`, `seconds` and `milliseconds` become integers of
    10^-12 USD and of nanoseconds.
    """

    name: str
    place: Place
    type: Type
    meaning: str


FIELDS: tuple[Field, ...] = (
    # whom the span names itself (inheritance happens in analytics.runs)
    Field("tenant", "identity", "text", "tenant that the emitter claims"),
    Field("user", "identity", "text", "end user"),
    Field("session", "identity", "text", "conversation or session; never merges runs"),
    Field("run_ref", "identity", "text", "the emitter's own run or turn id; joins traces to one run"),
    Field("client", "identity", "text", "client.id"),
    # what the span is
    Field("agent", "facet", "text", "agent name of an agent.run"),
    Field("agent_version", "facet", "text", "agent version of an agent.run"),
    Field("model", "facet", "text", "model that answered, else the one that was asked"),
    Field("request_model", "facet", "text", "model that was asked for"),
    Field("provider", "facet", "text", "provider as the emitter names it, lower case"),
    Field("service_tier", "facet", "text", "price context: flex, priority, batch ..."),
    Field("finish_reason", "facet", "text", "why the model stopped"),
    Field("tool", "facet", "text", "tool name"),
    Field("tool_server", "facet", "text", "MCP or other server that holds the tool"),
    Field("tool_class", "facet", "text", "read, write, danger as the emitter says"),
    Field("tool_action", "facet", "text", "create, update, delete"),
    Field("rule_id", "facet", "text", "policy rule"),
    Field("decision", "facet", "text", "allow or deny"),
    Field("decision_raw", "facet", "text", "the emitter's own outcome word"),
    Field("reason_code", "facet", "text", "why the policy decided so"),
    Field("planner_model", "facet", "text", "model of the planner"),
    Field("selector_version", "facet", "text", "version of the tool selector"),
    Field("store", "facet", "text", "memory store"),
    Field("stated_status", "facet", "text", "ok, error or denied as an attribute says it"),
    Field("error_type", "facet", "text", "error.type or exception class"),
    Field("error_reason", "facet", "text", "one of ERROR_REASONS"),
    Field("dependency", "facet", "text", "peer of a client span: server.address, db.system, peer.service"),
    Field("http_status", "facet", "text", "HTTP status code of the call"),
    # how much
    Field("input_tokens", "span", "int", "all input tokens, cache and audio included"),
    Field("output_tokens", "span", "int", "all output tokens, reasoning included"),
    Field("total_tokens", "span", "int", "total as reported; tells the basis, not stored"),
    Field("cache_read_tokens", "span", "int", "part of input_tokens read from a cache"),
    Field("cache_write_tokens", "span", "int", "part of input_tokens written to a cache (5 min and 1 h)"),
    Field("cache_write_1h_tokens", "span", "int", "part of cache_write_tokens with a one-hour life"),
    Field("reasoning_tokens", "span", "int", "part of output_tokens"),
    Field("input_audio_tokens", "span", "int", "part of input_tokens"),
    Field("output_audio_tokens", "span", "int", "part of output_tokens"),
    Field("reported_cost", "span", "usd", "what the runtime says the call cost"),
    Field("cache_hit", "span", "bool", "a cache of whole responses answered the model call; becomes Flag.CACHE_HIT"),
    Field("first_token", "span", "seconds", "time to first token"),
    Field("retry_count", "span", "int", "attempts before this one"),
    Field("item_count", "span", "int", "steps of a plan, candidates of a selection, keys of a memory access"),
    Field("selected_count", "span", "int", "tools selected"),
    Field("args_bytes", "span", "int", "size of tool arguments"),
    Field("result_bytes", "span", "int", "size of a tool result or memory access"),
    Field("args_hash", "span", "id", "hash of the arguments that the emitter computed"),
    Field("args_shape", "span", "id", "hash of the arguments' shape that the emitter computed"),
    Field("result_hash", "span", "id", "hash of the result that the emitter computed"),
    Field("subject_hash", "span", "id", "goal of an agent.run, plan of an agent.plan, keys of a memory access"),
    Field("response_id", "span", "id", "model response id"),
    Field("call_id", "span", "id", "tool call id"),
    # content: measured, hashed, dropped
    Field("args", "span", "content", "tool arguments"),
    Field("result", "span", "content", "tool result"),
    Field("subject", "span", "content", "goal, plan or memory keys in clear"),
    Field("messages", "span", "content", "model messages; tool-call parts are read, then dropped"),
)

FIELD_NAMES: tuple[str, ...] = tuple(f.name for f in FIELDS)


class Flag(IntFlag):
    """Bits of `spans.flags`. Those in QUARANTINE keep a span out of every total; a span FROM_LOG was made of a log
    record and yields to what the emitter's own spans tell."""

    LATE = 1
    FOREIGN_TENANT = 2
    TIME_ABSURD = 4
    USAGE_ABSURD = 8
    REPAIRED = 16
    CLOCK_BACKWARDS = 32
    REMOTE_PARENT = 64
    ARGS_FROM_EMITTER = 128
    RESULT_FROM_EMITTER = 256
    USAGE_ASSUMED = 512
    HAS_TOOL_PARTS = 1024
    SELF_CHECK = 2048
    ATTRIBUTES_DROPPED = 4096
    SAMPLED = 8192
    AGGREGATE = 16384
    FROM_LOG = 32768
    CACHE_HIT = 65536


QUARANTINE = Flag.FOREIGN_TENANT | Flag.TIME_ABSURD | Flag.USAGE_ABSURD
