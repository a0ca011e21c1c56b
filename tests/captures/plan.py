"""What the fake model answers: tool calls by a plan for each scenario, whatever the framework calls its tools."""

from dataclasses import dataclass, field
from typing import Any

SCENARIOS: dict[str, list[str]] = {
    "simple": ["get_weather", "get_population"],
    "loop8": ["lookup_order"] * 8,
    "tool_error": ["flaky_fetch"] * 3,
    "streaming": ["get_weather"],
    "multi_agent": ["research", "get_weather"],
    "fatal": ["get_weather"],
}
"""The tools to ask for, in order. Who is offered only some of them (a lead, a researcher) asks for those."""

ALSO = {"research": ("handoff", "transfer", "coworker", "delegate")}
"""Parts of names under which frameworks offer the way to another agent."""

FAILURES: dict[str, dict[int, int]] = {"tool_error": {1: 429, 3: 500}}
"""HTTP statuses by the number of the request."""
FATAL_FROM, FATAL_STATUS = 2, 400

ARGUMENTS: dict[str, Any] = {
    "city": "Paris",
    "order_id": "A-1041",
    "url": "https://example.com/report",
    "to_agent": "researcher",
    "agent_name": "researcher",
    "coworker": "researcher",
    "member_id": "researcher",
    "answer": "It is sunny in Paris and two million people live there.",
}
TEXT = "Please find out how the weather in Paris is today and report it in one sentence."
ANSWER = "It is sunny in Paris today, so leave the umbrella at home."


@dataclass(frozen=True)
class Tool:
    """A tool as a request offers it: name and the properties of its JSON schema."""

    name: str
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What a wire tells of a request: tools offered, names of the tools that were called so far."""

    model: str
    tools: list[Tool]
    called: list[str]
    stream: bool = False
    wants_usage: bool = True
    form: str = ""  # in which a tool call is written as text, where the wire's own calls are not used


@dataclass(frozen=True)
class Step:
    """One answer: a tool call, or (no tool) a text."""

    tool: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True)
class Usage:
    """Tokens of one call. `input` holds cached and cache_write, `output` holds reasoning."""

    input: int
    cached: int
    cache_write: int
    output: int
    reasoning: int

    @classmethod
    def of(cls, n: int, api: str) -> "Usage":
        """Usage of the nth request, a different one for each; OpenAI and Gemini bill no cache writes, Anthropic
        counts no reasoning."""
        anthropic = api in ("messages", "converse")
        cached = 0 if n == 1 else 512 + 64 * ((n - 2) % 6)
        return cls(1000 + 137 * n, cached, (128 + n) * anthropic, 20 + 7 * n, 0 if anthropic else 5 + n)


def failure(scenario: str, n: int) -> int | None:
    """The HTTP status with which the nth request fails, if it does."""
    if scenario == "fatal" and n >= FATAL_FROM:
        return FATAL_STATUS
    return FAILURES.get(scenario, {}).get(n)


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _means(stem: str, name: str) -> bool:
    return any(_plain(word) in _plain(name) for word in (stem, *ALSO.get(stem, ())))


def _matching(stem: str, tools: list[Tool]) -> Tool | None:
    return next((t for t in tools if _means(stem, t.name)), None)


def _value(name: str, schema: Any) -> Any:
    """Something to put into an argument."""
    kinds = [schema, *schema.get("anyOf", ())] if isinstance(schema, dict) else []
    told = [
        k for kind in kinds for k in ([kind["type"]] if isinstance(kind.get("type"), str) else kind.get("type", ()))
    ]
    kind = "null" if "null" in told else next(iter(told), None)
    by_kind = {"boolean": False, "integer": 1, "number": 1, "array": [], "object": {}, "null": None}
    return ARGUMENTS.get(name, by_kind.get(str(kind).lower(), TEXT))


def next_step(scenario: str, request: Request) -> Step:
    """The first call of the plan that this conversation has not made yet; then the answer, through a tool for answers
    where one is offered."""
    stems = [s for s in SCENARIOS[scenario] if _matching(s, request.tools)]
    if len(set(stems)) > 1 and "research" in stems:
        stems.remove("research")  # who can do the work hands nothing over
    done = sum(any(_means(s, name) for s in set(stems)) for name in request.called)
    if done < len(stems):
        tool = _matching(stems[done], request.tools)
    else:
        tool = _matching("final_answer", request.tools) or _matching("final_result", request.tools)
    if tool is None:
        return Step(text=ANSWER)
    return Step(tool.name, {name: _value(name, schema) for name, schema in tool.properties.items()})
