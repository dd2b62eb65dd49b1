"""Who calls a tool, and what they get: a runtime, and containers that end with their session."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError

from agent_kernel.errors import AgentKernelError
from agent_kernel.runtime.base import Runtime

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

Call = Context[Any, Any]
"""One call of a tool: its client, and the means to report progress and to ask."""


class Callers(Protocol):
    """The callers of a server."""

    def runtime(self, call: Call) -> Runtime:
        """Return the runtime as the caller's key sees it."""
        ...

    def created(self, container_id: str) -> None:
        """Take note of a container that was created without a name."""
        ...

    def deleted(self, container_id: str) -> None:
        """Take note of a container that was deleted."""
        ...


class OneSession:
    """The only caller of a server on standard input and output."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._own: set[str] = set()

    def runtime(self, call: Call) -> Runtime:
        """See `Callers`."""
        return self._runtime

    def created(self, container_id: str) -> None:
        """See `Callers`. It is deleted at the end of the session."""
        self._own.add(container_id)

    def deleted(self, container_id: str) -> None:
        """See `Callers`."""
        self._own.discard(container_id)

    async def end(self) -> None:
        """Delete the containers without a name. One that cannot be deleted now ends by its own lease."""
        for container_id in sorted(self._own):
            try:
                await self._runtime.containers.delete(container_id)
            except AgentKernelError as error:
                log.warning("Container %s was not deleted: %s", container_id, error.message)
        self._own.clear()


@asynccontextmanager
async def one_session(runtime: Runtime) -> AsyncGenerator[OneSession, None]:
    """Yield the session of a runtime; afterwards end it, and close the runtime."""
    session = OneSession(runtime)
    try:
        yield session
    finally:
        try:
            await session.end()
        finally:
            await runtime.aclose()


def told(tool: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Return the tool with our errors as an MCP client reads them: the message, then the next step."""

    @wraps(tool)
    async def call(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return await tool(*arguments, **named)
        except AgentKernelError as error:
            raise ToolError(f"{error.message} {error.hint}" if error.hint else error.message) from error

    return call
