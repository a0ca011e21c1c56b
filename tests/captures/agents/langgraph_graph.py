"""A LangGraph of one's own: a node asks the model, a node runs tools; the lead's graph asks the researcher's."""

from rig import MODEL, PROMPT, SCENARIO, STREAM, SYSTEM, TOOLS, logged, run, telemetry

telemetry()

from langchain_core.messages import SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


def graph(tools, name):
    model = ChatOpenAI(model=MODEL, stream_usage=True, streaming=STREAM).bind_tools(tools)

    def assistant(state: MessagesState):
        return {"messages": [model.invoke([SystemMessage(SYSTEM), *state["messages"]])]}

    made = StateGraph(MessagesState)
    made.add_node("assistant", assistant)
    made.add_node("tools", ToolNode(tools, handle_tool_errors=True))
    made.add_edge(START, "assistant")
    made.add_conditional_edges("assistant", tools_condition)
    made.add_edge("tools", "assistant")
    return made.compile(name=name)


worker = graph(TOOLS, "weather_agent")


@tool
@logged
def ask_researcher(question: str) -> str:
    """Ask the researcher a question."""
    return worker.invoke({"messages": [("user", question)]})["messages"][-1].content


agent, others = worker, ()
if SCENARIO == "multi_agent":
    agent, others = graph([ask_researcher], "lead_agent"), ["weather_agent"]
asked = {"messages": [("user", PROMPT)]}
with run(agent.name, *others):
    if STREAM:
        for _ in agent.stream(asked, stream_mode="messages"):
            pass
    else:
        agent.invoke(asked, {"recursion_limit": 40})
