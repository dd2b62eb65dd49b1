"""MCP servers made with the `mcp` package, on loopback."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent, ToolAnnotations

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


class Called:
    """What the servers of a test were asked."""

    def __init__(self) -> None:
        self.lists = 0
        self.calls: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.waiting = asyncio.Event()
        self.cancelled = asyncio.Event()


def counting(called: Called, name: str = "calc") -> MCPServer:
    """A server with a tool of each kind."""
    server = MCPServer(name)

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def add(a: int, b: int) -> int:
        """Add two numbers."""
        called.calls.append(("add", (a, b)))
        return a + b

    @server.tool(structured_output=False)
    async def picture() -> Any:
        """Draw."""
        return ["a picture", Image(data=PIXEL, format="png")]

    @server.tool()
    async def fails() -> str:
        """Fail."""
        raise ToolError("out of paper")

    @server.tool(structured_output=False)
    async def slow(ctx: Context) -> str:
        """Report progress."""
        await ctx.report_progress(1, 2, "half")
        await ctx.report_progress(2, 2, "all")
        return "done"

    @server.tool(structured_output=False)
    async def hangs() -> str:
        """Never answer."""
        called.waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            called.cancelled.set()
        return ""

    @server.tool(structured_output=False)
    async def grows(ctx: Context) -> str:
        """Add a tool to this server."""

        @server.tool(structured_output=False)
        async def grown() -> str:
            """Be new."""
            return "hello from the new one"

        await ctx.session.send_tool_list_changed()
        await ctx.notify_tools_changed()
        return "grown"

    @server.tool()
    async def deep() -> CallToolResult:
        """Answer with JSON of many levels."""
        value: Any = {}
        for _ in range(90):
            value = {"a": value}
        return CallToolResult(content=[TextContent(type="text", text="ok")], structured_content=value)

    return server


def watched(app: Any, called: Called) -> Any:
    """The app, which notes the headers of requests."""

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            called.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
        await app(scope, receive, send)

    return noting


@asynccontextmanager
async def served(app: Any) -> AsyncGenerator[str, None]:
    """A server on a free port; yields its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        task = asyncio.create_task(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


def plain(answer: Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes]]) -> Any:
    """An app that answers each request's scope so."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                event = (await receive())["type"]
                await send({"type": f"{event}.complete"})
                if event.endswith("shutdown"):
                    return
        status, headers, body = answer(scope)
        pairs = [(k.encode(), v.encode()) for k, v in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body})

    return app


logging.getLogger("mcp").setLevel(logging.ERROR)
