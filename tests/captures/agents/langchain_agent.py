"""LangChain's agents on LangGraph: a lead may ask a researcher, who is an agent behind a tool."""

import os

from rig import MODEL, PROMPT, SCENARIO, STREAM, SYSTEM, TOOLS, logged, run, telemetry

telemetry()

from langchain.agents import create_agent
from langchain.agents.middleware import wrap_tool_call
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

if os.environ.get("CAPTURE_API") == "messages":
    from langchain_anthropic import ChatAnthropic

if os.environ.get("CAPTURE_API") == "messages":
    model = ChatAnthropic(model="claude-sonnet-4-5", max_retries=2, streaming=STREAM)
else:
    model = ChatOpenAI(model=MODEL, max_retries=2, stream_usage=True, streaming=STREAM)


@wrap_tool_call
def told(request, handler):
    """A tool that fails is told to the model."""
    try:
        return handler(request)
    except TimeoutError as error:
        return ToolMessage(f"It failed: {error}", tool_call_id=request.tool_call["id"], status="error")


worker = create_agent(model, tools=TOOLS, system_prompt=SYSTEM, name="weather_agent", middleware=[told])


@tool
@logged
def ask_researcher(question: str) -> str:
    """Ask the researcher a question."""
    return worker.invoke({"messages": [("user", question)]})["messages"][-1].content


agent, others = worker, ()
if SCENARIO == "multi_agent":
    others = ("weather_agent",)
    agent = create_agent(model, tools=[ask_researcher], system_prompt=SYSTEM, name="lead_agent")

asked = {"messages": [("user", PROMPT)]}
with run(agent.name, *others):
    if STREAM:
        for _ in agent.stream(asked, stream_mode="messages"):
            pass
    else:
        agent.invoke(asked)
