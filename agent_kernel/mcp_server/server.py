"""The MCP server, and how it is served on standard input and output."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from mcp.server.mcpserver import MCPServer

from agent_kernel import __version__
from agent_kernel.mcp_server.callers import Callers, one_session
from agent_kernel.mcp_server.tools import add_tools
from agent_kernel.runtime.base import Runtime

INSTRUCTIONS = """Sandboxes to run commands and Python in, apart from the user's machine. Create a container
first, then name its id in every call. Files are in /mnt/data. A sandbox without a name is removed with the
session. It has no network unless hosts are allowed for it."""


def sandbox_server(callers: Callers) -> MCPServer[Any]:
    """Return the server for these callers."""
    server: MCPServer[Any] = MCPServer(
        "agent-kernel", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING"
    )
    add_tools(server, callers)
    return server


async def serve_stdio(runtime: Runtime) -> bool:
    """Serve one client on standard input and output, then end its session and close the runtime.

    It ends when the client closes standard input, and with SIGTERM or SIGINT. Return whether the client has
    closed it: if not, a thread of the package still reads, and the process has to end in spite of it.
    """
    ending = asyncio.Event()
    async with one_session(runtime) as session:
        serving = asyncio.create_task(sandbox_server(session).run_stdio_async())
        serving.add_done_callback(lambda _: ending.set())
        for each in (signal.SIGTERM, signal.SIGINT):  # once more while the session ends changes nothing
            asyncio.get_running_loop().add_signal_handler(each, ending.set)
        await ending.wait()
        if serving.done():
            serving.result()
        serving.cancel()  # running calls end; the thread does not
    return serving.done()
