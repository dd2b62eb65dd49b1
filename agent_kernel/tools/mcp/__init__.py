"""The tool `mcp`: tools of MCP servers, remote ones and ones that run in the turn's container.

The protocol itself is the `mcp` package's, an extra that is imported when a server is first used.
"""
