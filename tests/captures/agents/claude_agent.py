"""The Claude Agent SDK, which runs the real Claude Code; the tools are behind an MCP server of this process."""

import asyncio
import os
import tempfile

from rig import PROMPT, SYSTEM, TOOLS, run

from claude_agent_sdk import ClaudeAgentOptions, ResultMessage, create_sdk_mcp_server, query, tool


def served(t):
    async def call(args):
        return {"content": [{"type": "text", "text": t(**args)}]}

    arguments = {a: str for a in t.__annotations__ if a != "return"}
    return tool(t.__name__, t.__doc__, arguments)(call)


options = ClaudeAgentOptions(
    model="claude-sonnet-4-5",
    system_prompt=SYSTEM,
    mcp_servers={"weather": create_sdk_mcp_server("weather", tools=[served(t) for t in TOOLS])},
    allowed_tools=[f"mcp__weather__{t.__name__}" for t in TOOLS],
    setting_sources=[],
    env={
        "HOME": tempfile.mkdtemp(dir=os.environ["CAPTURE_WORK"]),
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "ENABLE_TOOL_SEARCH": "false",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOG_USER_PROMPTS": "1",
        "OTEL_LOG_TOOL_DETAILS": "1",
    },
)


async def main(wrong):
    async for message in query(prompt=PROMPT, options=options):
        if isinstance(message, ResultMessage) and message.is_error:
            wrong.append(message.result or message.subtype)


with run("claude-code") as wrong:
    asyncio.run(main(wrong))
