"""The OpenAI SDK in a loop of one's own whose tools are behind MCP, in another process."""

import asyncio
import os
import sys
from pathlib import Path

from rig import MODEL, PROMPT, SYSTEM, root, run, telemetry

telemetry()

import json

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from openai import OpenAI

server = StdioServerParameters(
    command=sys.executable, args=[str(Path(__file__).with_name("mcp_server.py"))], env=dict(os.environ)
)


async def main():
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        listed = (await session.list_tools()).tools
        with root("weather_agent"):
            await loop(session, listed)


async def loop(session, listed):
    tools = []
    for t in listed:
        schema = getattr(t, "input_schema", None) or t.inputSchema
        tools.append({"type": "function", "function": {"name": t.name, "parameters": schema}})
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROMPT}]
    client = OpenAI()
    while True:
        message = client.chat.completions.create(model=MODEL, messages=messages, tools=tools).choices[0].message
        if not message.tool_calls:
            return
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            result = await session.call_tool(call.function.name, json.loads(call.function.arguments))
            text = " ".join(part.text for part in result.content)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": text})


with run("weather_agent"):
    asyncio.run(main())
