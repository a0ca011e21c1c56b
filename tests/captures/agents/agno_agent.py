"""Agno's agent; the lead is a team of one member."""

from rig import MODEL, PROMPT, SCENARIO, STREAM, SYSTEM, TOOLS, run, telemetry

telemetry()

from agno.agent import Agent
from agno.models.openai import OpenAIChat
from agno.team import Team

name = "researcher" if SCENARIO == "multi_agent" else "weather_agent"
agent = Agent(name=name, model=OpenAIChat(MODEL), tools=TOOLS, instructions=SYSTEM, telemetry=False)
others = ()
if SCENARIO == "multi_agent":
    agent, others = Team([agent], name="lead_agent", model=OpenAIChat(MODEL), telemetry=False), [name]
with run(agent.name, *others, tool="delegate_task_to_member") as wrong:
    if STREAM:
        for _ in agent.run(PROMPT, stream=True):
            pass
    else:
        answer = agent.run(PROMPT)
        if "ERROR" in str(answer.status).upper():
            wrong.append(answer.content)
