"""The MCP servers of one turn: one connection each, opened when it is first needed.

`sandbox` opens the turn's container, for servers that run there. `ask` asks the user what a server asks
during a call; without it such a question is declined. `meter` is entered while one in the container is asked.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from agent_kernel.errors import (
    AgentKernelError,
    ConnectDenied,
    InvalidRequest,
    SandboxError,
    SandboxFileError,
)
from agent_kernel.tools.mcp.connection import McpConnection, McpFailure, ServerLeft, leaves, over_http
from agent_kernel.tools.mcp.elicitation import AskUser
from agent_kernel.tools.mcp.inside import OpensSandbox, over_stdio
from agent_kernel.tools.mcp.open_calls import OpenCalls
from agent_kernel.tools.mcp.results import (
    HTTP,
    INTERNAL,
    PROTOCOL,
    TIMED_OUT,
    McpOutcome,
    McpProgress,
    clipped,
    outcome_of,
)
from agent_kernel.tools.mcp.spec import McpServer
from agent_kernel.tools.outbound import AllowedHosts, LimitedTransport, ServerSentTooMuch

if TYPE_CHECKING:
    from mcp import Client

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_PAGES = 100
MOST_LISTED = 5000
"""Tools that a server may list, before `allowed_tools` chooses."""


@dataclass(frozen=True)
class McpLimits:
    """The operator's limits for MCP servers. Times are in seconds."""

    hosts: AllowedHosts = field(default_factory=AllowedHosts)
    connect: float = 30.0
    """For connecting to a server and listing its tools."""
    call: float = 120.0


@dataclass
class _Held:
    server: McpServer
    transport: LimitedTransport
    connection: McpConnection
    calls: OpenCalls
    ends: list[McpFailure]
    """How its program ended, if it is one in the container and did."""


class TurnServers:
    """The connections of one turn. Close it when the turn ends."""

    def __init__(
        self,
        limits: McpLimits,
        sandbox: OpensSandbox | None = None,
        ask: AskUser | None = None,
        meter: Callable[[], AbstractAsyncContextManager[object]] = nullcontext,
    ) -> None:
        self._limits = limits
        self._meter = meter
        self._ask_user = ask
        self._sandbox = sandbox
        self._held: dict[str, _Held] = {}

    def check(self, server: McpServer) -> None:
        """Raise `InvalidRequest` if the operator does not allow the server, or the package is missing."""
        if importlib.util.find_spec("mcp") is None:
            raise InvalidRequest(
                "This server cannot use MCP servers: the package `mcp` is not installed.",
                hint="Its operator can install it: pip install 'jupyter-agent-kernel[mcp]'",
                param=server.where,
            )
        if server.url is None or server.forgotten:
            return
        if self._limits.hosts.rule_of(server.url) is None:
            raise InvalidRequest(
                f"The operator of this server allows no MCP server at {server.place}.",
                hint="AGENT_KERNEL_MCP_HOSTS lists the hosts that requests may name.",
                param=f"{server.where}.server_url",
                code="mcp_server_not_allowed",
            )

    async def tools(self, server: McpServer) -> Sequence[Any]:
        """Return the tools that a server lists, as the `mcp` package has them. Raises `McpFailure`."""
        return await self._ask(server, _listed, self._limits.connect, asks=False)

    async def call(
        self,
        server: McpServer,
        name: str,
        arguments: dict[str, Any],
        show: Callable[[McpProgress], Awaitable[None]],
    ) -> McpOutcome:
        """Call a tool. Raises `McpFailure`. Cancelling tells the server, if it can be told."""

        async def report(progress: float, total: float | None, message: str | None) -> None:
            said = None if message is None else clipped(message, 2000)
            await show(McpProgress(progress, total, said))

        async def ask(client: Client) -> McpOutcome:
            return outcome_of(await client.call_tool(name, arguments, progress_callback=report))

        return await self._ask(server, ask, self._limits.call, asks=True)

    def changed(self, server: McpServer) -> bool:
        """Return whether the server said since the last question that its tools have changed."""
        held = self._held.get(server.label)
        if held is None or not held.connection.changed.is_set():
            return False
        held.connection.changed.clear()
        return True

    def connection(self, server: McpServer) -> McpConnection:
        """Return the open connection to a server. Raises `KeyError` if there is none."""
        return self._held[server.label].connection

    async def close(self) -> None:
        """End all connections."""
        held, self._held = list(self._held.values()), {}
        await asyncio.gather(*(each.connection.close() for each in held))

    async def _ask(
        self, server: McpServer, ask: Callable[[Client], Awaitable[T]], seconds: float, *, asks: bool
    ) -> T:
        held = await self._connected(server)
        try:
            metered = self._meter if server.url is None else nullcontext
            async with held.calls.limited(seconds, asks=asks), metered():
                return await held.connection.use(ask)
        except TimeoutError:
            raise McpFailure(f"It did not answer within {seconds:g} seconds.", PROTOCOL, TIMED_OUT) from None
        except Exception as error:  # noqa: BLE001 (of any kind: a server is at the other end)
            held.connection.failed(error)
            raise (held.ends[-1] if held.ends else _explained(error, held.transport)) from None

    async def _connected(self, server: McpServer) -> _Held:
        held = self._held.get(server.label)
        if held is None or held.connection.ended:
            if held is not None:
                await held.connection.close()
            held = self._held[server.label] = self._open(server)
        return held

    def _open(self, server: McpServer) -> _Held:
        transport = LimitedTransport(self._limits.hosts)
        calls = OpenCalls(server.label, self._ask_user)
        options: dict[str, Any] = {
            "message_handler": partial(self._noted, server.label),
            "elicitation_callback": calls.elicited,
        }
        if server.url is None:
            assert self._sandbox is not None  # noqa: S101 (its entry asks for a container)
            ends: list[McpFailure] = []
            inside = partial(over_stdio, server, self._sandbox, ends.append, options)
            return _Held(server, transport, McpConnection(inside), calls, ends)
        if server.forgotten:
            raise McpFailure("Its address and credentials are not stored: send the request again.", HTTP, 424)
        opens = partial(over_http, server.url, transport, dict(server.headers), options)
        return _Held(server, transport, McpConnection(opens), calls, [])

    async def _noted(self, label: str, message: Any) -> None:
        method = getattr(message, "method", None) or getattr(getattr(message, "root", None), "method", None)
        if method == "notifications/tools/list_changed" and label in self._held:
            self._held[label].connection.changed.set()


async def _listed(client: Client) -> Sequence[Any]:
    found: list[Any] = []
    cursor = None
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if len(found) > MOST_LISTED:
            raise McpFailure(f"It lists more than {MOST_LISTED} tools.", PROTOCOL, INTERNAL)
        if not cursor:
            return found
    raise McpFailure(f"Its list has more than {MOST_PAGES} pages.", PROTOCOL, INTERNAL)


def _explained(error: Exception, transport: LimitedTransport) -> AgentKernelError:
    """Return the error that the user and the model read. Addresses and credentials are not repeated."""
    from mcp import MCPError

    found = [each for each in leaves(error) if isinstance(each, Exception)]
    for each in found:
        if (ours := _own(each)) is not None:
            return ours
    if transport.too_much:
        return McpFailure("It sent too much.", PROTOCOL, INTERNAL)
    if transport.refused is not None and not any(isinstance(each, ServerLeft) for each in found):
        return McpFailure(f"It answered with HTTP status {transport.refused}.", HTTP, transport.refused)
    for each in found:
        if isinstance(each, MCPError):
            return McpFailure(clipped(each.message, 2000), PROTOCOL, each.code)
    if any(isinstance(each, ServerLeft) for each in found):
        return McpFailure("It ended the connection.", PROTOCOL, INTERNAL)
    kind = type(found[0]).__name__ if found else type(error).__name__
    return McpFailure(f"It cannot be reached, or does not speak MCP ({kind}).", HTTP, 424)


def _own(error: Exception) -> AgentKernelError | None:
    """Return an error of this package as the one to report; None for any other."""
    match error:
        case McpFailure():
            return error
        case ConnectDenied():
            return McpFailure(f"Not allowed: {error.message}.", HTTP, 403)
        case ServerSentTooMuch():
            return McpFailure(error.message, PROTOCOL, INTERNAL)
        case SandboxFileError():
            return McpFailure(f"Its program cannot be started: {error.message}", PROTOCOL, INTERNAL)
        case SandboxError():
            return error
    return None
