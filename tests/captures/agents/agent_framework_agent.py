"""Microsoft's Agent Framework with its own telemetry; the lead asks a researcher who is a tool."""

import asyncio
import os

from rig import MODEL, PROMPT, SCENARIO, STREAM, SYSTEM, TOOLS, run, telemetry

telemetry()

from agent_framework import Agent
from agent_framework.observability import enable_instrumentation
from agent_framework.openai import OpenAIChatClient, OpenAIChatCompletionClient

enable_instrumentation(enable_sensitive_data=True)
client = (OpenAIChatCompletionClient if os.environ.get("CAPTURE_API") == "chat" else OpenAIChatClient)(model=MODEL)
name = "researcher" if SCENARIO == "multi_agent" else "weather_agent"
worker = Agent(client, SYSTEM, name=name, description="knows the weather", tools=TOOLS)
agent, others = worker, ()
if SCENARIO == "multi_agent":
    agent, others = Agent(client, SYSTEM, name="lead_agent", tools=[worker.as_tool()]), [name]


async def main():
    if not STREAM:
        return await agent.run(PROMPT)
    async for _ in agent.run(PROMPT, stream=True):
        pass


with run(agent.name, *others, tool="researcher"):
    asyncio.run(main())
