"""Synthetic runs, one function a scenario: consistent rows of every table, without the receiver or the jobs.

A run's totals are the sums of its calls and every call has its span, so pages and reports can be checked
against them.
"""

from collections.abc import Callable

from collector.semconv import Flag
from tests.traces import SECOND, Trace

AGENTS = {
    "research-assistant": ("web_search", "fetch_page", "summarise_document"),
    "support-triage": ("search_tickets", "get_customer", "update_ticket"),
    "code-reviewer": ("read_file", "grep_repository", "post_review"),
    "invoice-bot": ("list_invoices", "get_invoice", "send_reminder"),
}


def _root(trace: Trace, *, ended: bool = True, status: str = "ok") -> int:
    """The run's own span; without `ended` only its id is known (its children arrived, it did not)."""
    facet = {"agent": trace.agent, "agent_version": "2.1", "status": status}
    if not ended:
        return trace.rng.getrandbits(63)
    return int(trace.span("agent.run", f"invoke_agent {trace.agent}", None, facet=facet)["span_id"])


def _close(trace: Trace) -> None:
    """Let the run's span end after everything below it."""
    trace.spans[0]["duration_ns"] = trace.last_ns - trace.start_ns
    trace.now_ns = trace.last_ns


def _tools(trace: Trace) -> tuple[str, ...]:
    return AGENTS.get(trace.agent, AGENTS["research-assistant"])


def plain(trace: Trace) -> None:
    """Plan, then a few turns of model and tool; some end in an error."""
    failed = trace.rng.random() < (0.3 if trace.agent == "invoice-bot" else 0.07)
    root = _root(trace, status="error" if failed else "ok")
    trace.span("agent.plan", "agent.plan", root, 20 * 10**6, facet={"planner_model": trace.model}, item_count=4)
    for turn in range(trace.rng.randint(2, 5)):
        trace.llm(root)
        trace.span("agent.tool_select", "agent.tool_select", root, 8 * 10**6, item_count=12, selected_count=1)
        trace.check(root)
        broken = (failed and turn == 0) or trace.rng.random() < 0.006
        trace.tool(root, trace.rng.choice(_tools(trace)), status="error" if broken else "ok", server="mcp-gateway")
    trace.llm(root, status="error" if failed else "ok", usage=not failed)
    trace.span("memory.write", "memory.write", root, 6 * 10**6, facet={"store": "redis"}, item_count=2)
    _close(trace)
    trace.finish(
        "error" if failed else "ok", root="agent.run", error_reason="upstream_rate_limited" if failed else None
    )


def loop(trace: Trace) -> None:
    """The same tool with the same arguments, over and over: a finding with the money it burnt."""
    root = _root(trace)
    tool, same, evidence = _tools(trace)[0], trace.rng.getrandbits(63), []
    for _ in range(trace.rng.randint(7, 14)):
        trace.llm(root)
        evidence.append(trace.tool(root, tool, args=same, server="mcp-gateway"))
    for call in [c for c in trace.calls if c["pricing"] == "priced"][3:]:
        call["wasted_pusd"] = call["cost_pusd"]
    _close(trace)
    wasted = sum(c["wasted_pusd"] for c in trace.calls)
    sentence = (
        f"{tool} was called {len(evidence)} times with the same arguments; calls after the third brought nothing new."
    )
    trace.finding("loop", "high", evidence, tool, wasted, sentence, "stop the run")
    trace.finish("ok", root="agent.run", findings=1)


def sub_agents(trace: Trace) -> None:
    """Two nested agents, one of which has its own tools; a tool call is denied by policy."""
    root = _root(trace)
    trace.llm(root)
    for name in ("planner", "researcher"):
        trace.agents.append(name)
        child = trace.span("agent.run", f"invoke_agent {name}", root, facet={"agent": name})
        begun = trace.now_ns
        trace.llm(child["span_id"])
        trace.tool(child["span_id"], "web_search", server="mcp-gateway")
        trace.llm(child["span_id"], model="gemini-3-flash")
        child["duration_ns"] = trace.now_ns - begun
        trace.last_ns = max(trace.last_ns, trace.now_ns)
    trace.check(root, "deny")
    trace.tool(root, "send_mail", status="denied")
    trace.llm(root)
    _close(trace)
    trace.finish("ok", root="agent.run")


def derived(trace: Trace) -> None:
    """An emitter without tool spans: its tool calls are read from model messages."""
    root = _root(trace)
    for tool in _tools(trace):
        call = trace.llm(root)
        span = next(s for s in trace.spans if s["span_id"] == call["span_id"])
        trace.call(span | {"duration_ns": 0}, "tool.call", tool=tool, derived=True)
    _close(trace)
    trace.finish("ok", root="agent.run")


def unpriced(trace: Trace) -> None:
    """A model that no price book knows, and a call that reports no usage."""
    trace.model = "acme-finetune-7b-instruct"
    root = _root(trace)
    trace.llm(root)
    trace.llm(root, usage=trace.number % 2 == 0)
    trace.tool(root, _tools(trace)[0])
    _close(trace)
    trace.finish("ok", root="agent.run")


def stuck(trace: Trace) -> None:
    """The root never arrived: its children hang on a parent that nobody sent."""
    root = _root(trace, ended=False)
    for _ in range(3):
        trace.llm(root)
        trace.tool(root, _tools(trace)[1], status="error" if trace.number % 2 else "ok")
    minutes = (trace.last_ns - trace.start_ns) // (60 * SECOND)
    sentence = f"No end and no activity for more than 10 minutes after {minutes} min of work."
    trace.finding("stuck run", "medium", [trace.spans[-1]["span_id"]], trace.agent, 0, sentence, "stop the run")
    trace.finish("stuck", root="chat", findings=1)


def running(trace: Trace) -> None:
    """A run that is at work: no root yet, last arrival a moment ago."""
    root = _root(trace, ended=False)
    trace.llm(root)
    trace.tool(root, _tools(trace)[0])
    trace.finish("running", root="chat", due_ns=trace.last_ns + 600 * SECOND)


def quarantined(trace: Trace) -> None:
    """One span claims absurd usage: stored and shown, outside every total."""
    root = _root(trace)
    trace.llm(root)
    facet = {"model": trace.model, "provider": "openai"}
    trace.span(
        "llm.call",
        f"chat {trace.model}",
        root,
        SECOND,
        facet=facet,
        flags=int(Flag.USAGE_ABSURD),
        input_tokens=2 * 10**9,
    )
    trace.span("llm.call", f"chat {trace.model}", root, SECOND, facet=facet, flags=int(Flag.LATE))
    _close(trace)
    trace.finish("ok", root="agent.run", quarantined=1)


def large(trace: Trace, spans: int) -> None:
    """One run with about that many spans."""
    root = _root(trace)
    while len(trace.spans) < spans:
        trace.llm(root)
        trace.tool(root, "web_search", server="mcp-gateway")
    _close(trace)
    trace.finish("ok", root="agent.run")


SCENARIOS: dict[int, Callable[[Trace], None]] = {
    3: loop, 5: sub_agents, 7: derived, 9: unpriced, 11: quarantined, 13: stuck, 0: running,
}  # fmt: skip
