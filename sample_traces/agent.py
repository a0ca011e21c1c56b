"""A small agent to copy from: it works on a goal and emits the product's own span kinds while it does.

The model and the tools are pretended; the loop, the spans and their attributes are what a real agent would have.
Run it against a running spanledger with `python -m sample_traces.agent`.
"""

import json
import random
import time

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Status, StatusCode

SERVICE = "recipe-helper"
RESOURCE = {"service.version": "1.0.0", "deployment.environment.name": "development"}
GOALS = ("a quick dinner for two", "a birthday cake without nuts", "lunch boxes for a week", "soup from leftovers")
TOOLS = ("search_recipes", "check_pantry", "convert_units")
STEPS = 3


def ask_model(tracer: trace.Tracer, prompt: str) -> str:
    """One model call. Returns the tool that the model wants next."""
    with tracer.start_as_current_span("llm.call", attributes={"model": "gpt-5-mini", "provider": "openai"}) as span:
        time.sleep(random.uniform(0.1, 0.3))
        span.set_attribute("prompt_tokens", 400 + 3 * len(prompt))
        span.set_attribute("completion_tokens", random.randint(40, 160))
        return random.choice(TOOLS)


def use_tool(tracer: trace.Tracer, tool: str, arguments: dict[str, str]) -> str:
    """One logical tool call, tried again once if it fails. Returns its result."""
    for attempt in range(2):
        with tracer.start_as_current_span("tool.call") as span:
            span.set_attributes({"tool.name": tool, "tool.class": "read", "tool.server": "kitchen-mcp"})
            span.set_attributes({"tool_args": json.dumps(arguments), "retry_count": attempt})
            time.sleep(random.uniform(0.05, 0.2))
            if attempt == 0 and random.random() < 0.1:
                span.set_attributes({"status": "error", "error_reason": "timeout"})
                span.set_status(Status(StatusCode.ERROR, "no answer in time"))
                continue
            span.set_attribute("status", "ok")
            return f"{tool} found something for {arguments['goal']}"
    return ""


def run(tracer: trace.Tracer, goal: str) -> None:
    """One run: plan, then model and tool in turns, then an answer."""
    who = {"tenant": "acme", "user": "you", "session": "kitchen"}
    with tracer.start_as_current_span("agent.run", attributes={"agent.name": SERVICE, **who}) as span:
        with tracer.start_as_current_span("agent.plan", attributes={"plan.step_count": STEPS}):
            ask_model(tracer, goal)
        seen = goal
        for step in range(STEPS):
            tool = ask_model(tracer, seen)
            seen += use_tool(tracer, tool, {"goal": goal, "step": str(step)})
        ask_model(tracer, seen)
        span.set_attribute("status", "ok")


def main() -> None:
    """One run, exported to OTEL_EXPORTER_OTLP_ENDPOINT (http://localhost:4318 unless set)."""
    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE, **RESOURCE}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    run(provider.get_tracer("sample_traces.agent"), random.choice(GOALS))
    provider.shutdown()


if __name__ == "__main__":
    main()
