"""Semantic Kernel's chat completion agent with its own telemetry; the lead has a researcher as plugin."""

import asyncio
import os

os.environ["SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE"] = "true"

from rig import MODEL, PROMPT, SCENARIO, STREAM, SYSTEM, TOOLS, run, telemetry

telemetry()

from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import KernelPlugin, kernel_function

service = OpenAIChatCompletion(MODEL)
plugin = KernelPlugin(name="weather", functions=[kernel_function(t) for t in TOOLS])
name = "researcher" if SCENARIO == "multi_agent" else "weather_agent"
worker = ChatCompletionAgent(
    service=service, name=name, description="knows the weather", instructions=SYSTEM, plugins=[plugin]
)
agent, others = worker, ()
if SCENARIO == "multi_agent":
    agent, others = (
        ChatCompletionAgent(service=service, name="lead_agent", instructions=SYSTEM, plugins=[worker]),
        [name],
    )


async def main():
    if not STREAM:
        return await agent.get_response(PROMPT)
    async for _ in agent.invoke_stream(PROMPT):
        pass


with run(agent.name, *others, tool="researcher"):
    asyncio.run(main())
