"""Haystack's agent in a pipeline; the lead asks a researcher who is a tool."""

from rig import MODEL, PROMPT, SCENARIO, STREAM, SYSTEM, TOOLS, run, telemetry

telemetry()

from haystack import Pipeline
from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import ComponentTool, create_tool_from_function


def model():
    kwargs = {"stream_options": {"include_usage": True}} if STREAM else {}
    return OpenAIChatGenerator(
        model=MODEL, generation_kwargs=kwargs, streaming_callback=(lambda _: None) if STREAM else None
    )


agent = Agent(chat_generator=model(), tools=[create_tool_from_function(t) for t in TOOLS], system_prompt=SYSTEM)
if SCENARIO == "multi_agent":
    agent.name = "researcher"
    ask = ComponentTool(
        agent, name="ask_researcher", description="ask the researcher", outputs_to_string={"source": "last_message"}
    )
    agent = Agent(chat_generator=model(), tools=[ask], system_prompt=SYSTEM)
pipeline = Pipeline()
pipeline.add_component("agent", agent)
with run("Agent"):
    pipeline.run({"agent": {"messages": [ChatMessage.from_user(PROMPT)]}})
