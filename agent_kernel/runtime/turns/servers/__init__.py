"""The MCP servers of a turn, before its model is asked."""
