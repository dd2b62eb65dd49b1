"""Renders calls of MCP servers' tools, and the lists of these tools. Pure."""
