"""LlamaIndex's function agent; the lead hands over inside an agent workflow."""

import asyncio
import os

from rig import MODEL, PROMPT, SCENARIO, STREAM, SYSTEM, TOOLS, run, telemetry

telemetry()

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.llms.openai import OpenAI

model = OpenAI(
    MODEL,
    api_base=os.environ["OPENAI_BASE_URL"],
    max_retries=3,
    additional_kwargs={"stream_options": {"include_usage": True}} if STREAM else {},
)
name = "researcher" if SCENARIO == "multi_agent" else "weather_agent"
worker = FunctionAgent(
    name=name, description="knows the weather", tools=TOOLS, llm=model, system_prompt=SYSTEM, streaming=STREAM
)
agent, others = worker, ()
if SCENARIO == "multi_agent":
    lead = FunctionAgent(
        name="lead_agent",
        description="asks others",
        llm=model,
        system_prompt=SYSTEM,
        can_handoff_to=[name],
        streaming=False,
        tools=[],
    )
    agent, others = AgentWorkflow(agents=[lead, worker], root_agent="lead_agent"), [name]


async def main():
    await agent.run(user_msg=PROMPT)


with run("lead_agent" if others else name, *others):
    asyncio.run(main())
