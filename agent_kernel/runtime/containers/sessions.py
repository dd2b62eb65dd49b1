"""Questions about the sessions in containers, and terminals and desktops of users."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from agent_kernel.errors import NotFound
from agent_kernel.protocol.desktop.watching import WatchedScreen
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.sandboxes.channel import Channel, Terminal
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.optional import KeepsSession, ShowsDesktop

PYTHON = "code_interpreter"
"""The tool whose session is asked."""

COMPUTER = "computer"
"""The tool whose desktop is watched."""

_AUDITED = ("end", "table")
"""The questions that change something: the session, or a file."""


class UsedContainers(Protocol):
    """The containers, as far as a question needs them."""

    audit: AuditLog

    def use(self, container_id: str, *, to_run: bool = False) -> AbstractAsyncContextManager[Channel]:
        """See `LocalContainers.use`."""
        ...


async def ask_session(
    containers: UsedContainers, container_id: str, question: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Ask the Python session of a container; see `runtime.sessions.AsksSessions`."""
    tool: object = catalogue().get(PYTHON)
    if not isinstance(tool, KeepsSession):
        raise NotFound(f"No tool {PYTHON} with a session is installed.")
    async with containers.use(container_id, to_run=True) as channel:
        answer = await tool.ask(question, channel)
    if question["ask"] in _AUDITED:
        containers.audit.write(
            "session", container=container_id, asked=question["ask"], name=question.get("name")
        )
    return answer


class ServesFrontEnds:
    """What containers offer the front end of a notebook besides turns; see `runtime.front_ends`."""

    def terminal(
        self: UsedContainers, container_id: str, rows: int, columns: int
    ) -> AbstractAsyncContextManager[Terminal]:
        """Open a terminal; see `OpensTerminals`."""
        return open_terminal(self, container_id, rows, columns)

    def desktop(
        self: UsedContainers, container_id: str, place: str
    ) -> AbstractAsyncContextManager[WatchedScreen]:
        """Watch a desktop; see `OpensDesktops`."""
        return open_desktop(self, container_id, place)


@asynccontextmanager
async def open_terminal(
    containers: UsedContainers, container_id: str, rows: int, columns: int
) -> AsyncGenerator[Terminal, None]:
    """Open a terminal; see `runtime.front_ends.OpensTerminals`. What is typed is not recorded."""
    began = time.monotonic()
    async with containers.use(container_id, to_run=True) as channel:
        containers.audit.write("terminal", container=container_id)
        try:
            async with channel.terminal(rows, columns) as terminal:
                yield terminal
        finally:
            seconds = time.monotonic() - began
            containers.audit.write("terminal.end", container=container_id, seconds=seconds)


@asynccontextmanager
async def open_desktop(
    containers: UsedContainers, container_id: str, place: str
) -> AsyncGenerator[WatchedScreen, None]:
    """Watch a desktop; see `runtime.front_ends.OpensDesktops`. What is typed is not recorded."""
    tool: object = catalogue().get(COMPUTER)
    if not isinstance(tool, ShowsDesktop):
        raise NotFound(f"No tool {COMPUTER} with a desktop is installed.")
    began = time.monotonic()
    async with containers.use(container_id, to_run=True) as channel:
        containers.audit.write("desktop", container=container_id)
        try:
            async with tool.watch(channel, place) as screen:
                yield screen
        finally:
            seconds = time.monotonic() - began
            containers.audit.write("desktop.end", container=container_id, seconds=seconds)
