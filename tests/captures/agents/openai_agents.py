"""OpenAI's Agents SDK over the Responses API, or chat completions where CAPTURE_API says so; the lead hands over."""

import asyncio
import os

from rig import MODEL, PROMPT, SCENARIO, STREAM, SYSTEM, TOOLS, run, telemetry

telemetry()

import agents
from agents import Agent, Runner, function_tool

if os.environ.get("CAPTURE_API") == "chat":
    agents.set_default_openai_api("chat_completions")
settings = agents.ModelSettings(include_usage=True)
tools = [function_tool(t) for t in TOOLS]
worker = Agent(name="weather_agent", instructions=SYSTEM, model=MODEL, tools=tools, model_settings=settings)
agent, others = worker, ()
if SCENARIO == "multi_agent":
    worker.name = "researcher"
    agent, others = Agent("lead_agent", instructions=SYSTEM, model=MODEL, handoffs=[worker]), ["researcher"]


async def main():
    if not STREAM:
        return await Runner.run(agent, PROMPT)
    streamed = Runner.run_streamed(agent, PROMPT)
    async for _ in streamed.stream_events():
        pass


with run(agent.name, *others):
    asyncio.run(main())
agents.flush_traces() if hasattr(agents, "flush_traces") else None
