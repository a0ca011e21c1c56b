"""The scenario's tools behind MCP, over standard input and output."""

from rig import TOOLS, telemetry

telemetry()

try:
    from mcp.server.mcpserver import MCPServer as Server
except ImportError:
    from mcp.server.fastmcp import FastMCP as Server

server = Server("weather")
for tool in TOOLS:
    server.add_tool(tool)
server.run("stdio")
