"""One connection to an MCP server, kept open for a turn.

The `mcp` package ties a connection to the task that opened it. So each has a task of its own, and the calls
of a turn use it from theirs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from agent_kernel.errors import AgentKernelError

if TYPE_CHECKING:
    from mcp import Client

    from agent_kernel.tools.outbound import LimitedTransport

log = logging.getLogger(__name__)

T = TypeVar("T")

CLOSE = 5.0
"""Seconds that a server gets to end a connection."""
ACKNOWLEDGE = 5.0
"""Seconds that a server gets to accept a subscription to its changes."""
_CLOSED = -32000
"""The code by which the package says that a connection was closed."""
_SSE_AFTER = (400, 404, 405, 406, 415)
"""HTTP statuses by which a server of the older transport answers the newer one's first request."""


class McpFailure(AgentKernelError):
    """An MCP server did not do what was asked. `kind` and `code` are those of the API's error object."""

    def __init__(self, message: str, kind: str, number: int) -> None:
        super().__init__(message)
        self.kind = kind
        self.number = number


class ServerLeft(Exception):
    """The connection ended."""


Opens = Callable[[], AbstractAsyncContextManager["Client"]]
"""Opens a connection. What it raises may be nested in groups."""


class McpConnection:
    """A connection in its own task. `changed` is set once the server says that its tools have changed."""

    def __init__(self, opens: Opens) -> None:
        self._opens = opens
        self._stop = asyncio.Event()
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(), name="mcp connection")
        self.changed = asyncio.Event()
        self._broken = False

    @property
    def ended(self) -> bool:
        """Whether the connection has ended or failed."""
        return self._broken or self._task.done()

    def failed(self, error: Exception) -> None:
        """Take note of an error of `use`: after any but a server's own answer, no more is asked here."""
        from mcp import MCPError

        self._broken = self._broken or not isinstance(error, MCPError) or error.code == _CLOSED

    async def _run(self) -> None:
        try:
            async with self._opens() as client, _subscribed(client):
                self._ready.set_result(client)
                await self._stop.wait()
        except Exception as error:  # noqa: BLE001 (of any kind: a server is at the other end)
            if not self._ready.done():
                self._ready.set_exception(error)
            else:
                log.debug("A connection to an MCP server ended: %s", type(error).__name__)
        finally:
            if not self._ready.done():
                self._ready.cancel()
            elif not self._ready.cancelled():
                self._ready.exception()

    async def use(self, ask: Callable[[Client], Awaitable[T]]) -> T:
        """Ask the server something. Raises what the package raises, and `ServerLeft` if it hangs up."""
        client = await asyncio.shield(self._ready)
        asking = asyncio.ensure_future(ask(client))
        try:
            await asyncio.wait({asking, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise ServerLeft
            return asking.result()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def close(self) -> None:
        """End the connection. A server that does not answer is left after a while."""
        self._stop.set()
        await asyncio.wait({self._task}, timeout=CLOSE if self._ready.done() else 0)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors in nested groups."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    else:
        yield error


@asynccontextmanager
async def _subscribed(client: Client) -> AsyncGenerator[None, None]:
    """Hear of changes to a server's tools, which servers of the newest protocol tell subscribers only.

    The package passes them to the `message_handler`, as it does those of older servers. A server that
    refuses is used without.
    """
    from mcp import MCPError
    from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost

    tools = client.server_capabilities.tools
    async with AsyncExitStack() as stack:
        if tools is not None and tools.list_changed:
            try:
                async with asyncio.timeout(ACKNOWLEDGE):
                    await stack.enter_async_context(client.listen(tools_list_changed=True))
            except (ListenNotSupportedError, SubscriptionLost, MCPError, TimeoutError) as error:
                log.debug("Changes of an MCP server are not heard of: %s", type(error).__name__)
        yield


@asynccontextmanager
async def over_http(
    url: str, transport: LimitedTransport, headers: dict[str, str], options: dict[str, Any]
) -> AsyncGenerator[Client, None]:
    """Connect to a remote server: by streamable HTTP, or by the older transport if that is what it has."""
    from mcp import Client
    from mcp.client.sse import sse_client
    from mcp.client.streamable_http import streamable_http_client

    from agent_kernel.tools.outbound import client_of

    is_old = urlsplit(url).path.rstrip("/").endswith("/sse")
    begun = False
    if not is_old:
        try:
            async with (
                client_of(transport, headers) as http,
                Client(streamable_http_client(url, http_client=http), **options) as client,
            ):
                begun = True
                transport.connected()
                yield client
                return
        except Exception:
            if begun or transport.refused not in _SSE_AFTER:
                raise
    factory = partial(client_of, transport if is_old else transport.again(), headers)
    async with Client(sse_client(url, httpx_client_factory=factory), **options, mode="legacy") as client:
        transport.connected()
        yield client
