"""smolagents' tool-calling agent; the lead manages a researcher."""

from rig import MODEL, PROMPT, SCENARIO, STREAM, TOOLS, run, telemetry

telemetry()

from smolagents import OpenAIServerModel, ToolCallingAgent, tool

model = OpenAIServerModel(MODEL)
name = "researcher" if SCENARIO == "multi_agent" else "weather_agent"
agent = ToolCallingAgent(
    [tool(t) for t in TOOLS], model, name=name, description="knows the weather", stream_outputs=STREAM
)
others = ()
if SCENARIO == "multi_agent":
    agent, others = ToolCallingAgent([], model, managed_agents=[agent], name="lead_agent"), [name]
with run(agent.name, *others):
    agent.run(PROMPT)
