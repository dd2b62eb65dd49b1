"""Our own MCP server: sandboxes for any MCP client, over standard input and output or over HTTP.

It is a client of a runtime like any other: every call goes through the contract of `runtime.base`, with the
key, limits, approvals and audit log of the API. Nothing here is loaded without the extra `mcp`.
"""
