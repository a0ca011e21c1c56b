"""Tool calls that frameworks write as texts instead of the wire's own calls: smolagents, DSPy."""

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from tests.captures.plan import Request, Step, Tool

_SMOLAGENTS = re.compile(r"\\?['\"]name\\?['\"]: \\?['\"](\w+)")
_DSPY_CALL = re.compile(r"\[\[ ## tool_name_\d+ ## \]\]\s*(\w+)")
_DSPY_TOOL = re.compile(r"\((\d+)\) (\w+)(?:, whose description|\. It takes)")


@dataclass(frozen=True)
class InText:
    """What the texts of a request tell: tools that were called and are offered, and the form of an answer."""

    called: list[str]
    tools: list[Tool]
    form: str = ""


def read(messages: list[dict[str, Any]]) -> InText:
    """Reads the messages of a request."""
    said = [(m["role"], _plain(m.get("content"))) for m in messages]
    called = [n for role, text in said if "Calling tools:" in text for n in _SMOLAGENTS.findall(text)]
    system, last = said[0][1], said[-1][1]
    if "## next_tool_name ##" in system:
        tools = [
            Tool(name, {a: {} for a in ("city", "order_id", "url") if f"'{a}'" in line or f'"{a}"' in line})
            for line in system.splitlines()
            for _, name in _DSPY_TOOL.findall(line)
        ]
        return InText(_DSPY_CALL.findall(last.replace("\\n", "\n")), tools, "dspy step")
    return InText(called, [], "dspy answer" if "[[ ## completed ## ]]" in system else "")


def _plain(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content)


def written(step: Step, request: Request) -> Step:
    """The step in the form that the request wants."""
    if request.form == "dspy step":
        name, arguments = (step.tool, json.dumps(step.arguments)) if step.tool else ("finish", "{}")
        return replace(
            step, tool=None, text=_marked(next_thought="I look.", next_tool_name=name, next_tool_args=arguments)
        )
    if request.form == "dspy answer":
        return replace(step, text=_marked(reasoning="All is known by now.", answer=step.text))
    return step


def _marked(**fields: Any) -> str:
    return "".join(f"[[ ## {name} ## ]]\n{text}\n\n" for name, text in fields.items()) + "[[ ## completed ## ]]"
