"""CrewAI: a crew of one agent with one task; the lead delegates to a co-worker."""

from rig import MODEL, PROMPT, SCENARIO, STREAM, SYSTEM, TOOLS, run, telemetry

telemetry()

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

model = LLM(model=f"openai/{MODEL}", stream=STREAM)
tools = [tool(t.__name__)(t) for t in TOOLS]
role = "researcher" if SCENARIO == "multi_agent" else "weather_agent"
worker = Agent(role=role, goal="answer questions", backstory=SYSTEM, llm=model, tools=tools, allow_delegation=False)
team, others = [worker], ()
if SCENARIO == "multi_agent":
    team.insert(0, Agent(role="lead_agent", goal="ask others", backstory=SYSTEM, llm=model, allow_delegation=True))
    others = [role]
task = Task(description=PROMPT, expected_output="one sentence", agent=team[0])
with run(team[0].role, *others, tool="Delegate work to coworker"):
    Crew(agents=team, tasks=[task]).kickoff()
