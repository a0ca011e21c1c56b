"""AutoGen's assistant agent; the lead asks a researcher who is a tool."""

import asyncio

from rig import MODEL, PROMPT, SCENARIO, STREAM, SYSTEM, TOOLS, run, telemetry

telemetry()

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.tools import AgentTool
from autogen_ext.models.openai import OpenAIChatCompletionClient

model = OpenAIChatCompletionClient(model=MODEL, include_name_in_message=False, parallel_tool_calls=False)
name = "researcher" if SCENARIO == "multi_agent" else "weather_agent"
worker = AssistantAgent(
    name, model, description="knows the weather", tools=TOOLS, system_message=SYSTEM, max_tool_iterations=12,
    model_client_stream=STREAM,
)  # fmt: skip
agent, others = worker, ()
if SCENARIO == "multi_agent":
    agent, others = AssistantAgent("lead_agent", model, tools=[AgentTool(worker)], max_tool_iterations=5), [name]


async def main():
    if not STREAM:
        return await agent.run(task=PROMPT)
    async for _ in agent.run_stream(task=PROMPT):
        pass


with run(agent.name, *others, tool="researcher"):
    asyncio.run(main())
