"""Google's Agent Development Kit with its own telemetry; the lead hands over to a sub-agent."""

import asyncio

from rig import PROMPT, SCENARIO, STREAM, SYSTEM, TOOLS, run, telemetry

telemetry()

from google.adk.agents import Agent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.runners import InMemoryRunner
from google.genai import types

name = "researcher" if SCENARIO == "multi_agent" else "weather_agent"


def told(tool, args, tool_context, error):
    """A tool that fails is told to the model."""
    return {"error": str(error)}


retries = types.HttpOptions(retry_options=types.HttpRetryOptions(attempts=4, initial_delay=0.1))
agent = Agent(
    name=name, model="gemini-2.5-flash", instruction=SYSTEM, description="knows the weather", tools=TOOLS,
    on_tool_error_callback=told, generate_content_config=types.GenerateContentConfig(http_options=retries),
)  # fmt: skip
others = ()
if SCENARIO == "multi_agent":
    agent, others = Agent(name="lead_agent", model="gemini-2.5-flash", instruction=SYSTEM, sub_agents=[agent]), [name]


async def main():
    runner = InMemoryRunner(agent, app_name="app")
    session = await runner.session_service.create_session(app_name="app", user_id="someone")
    message = types.Content(role="user", parts=[types.Part(text=PROMPT)])
    config = RunConfig(streaming_mode=StreamingMode.SSE if STREAM else StreamingMode.NONE)
    async for event in runner.run_async(
        user_id="someone", session_id=session.id, new_message=message, run_config=config
    ):
        if event.error_code and event.error_code != "STOP":
            raise RuntimeError(event.error_message)


with run(agent.name, *others):
    asyncio.run(main())
