"""Requests about terminals into the container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import AgentKernelError, InvalidRequest
from agent_kernel.kernel.panel.held.terminal import OpenTerminal

if TYPE_CHECKING:
    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.source import PanelSource

MOST_CELLS = 1000
"""Rows and columns of a window."""

LONGEST_NAME = 64


async def terminal(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Open a terminal. The container is started if there is none: the user asked for it."""
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.runtime.front_ends import OpensTerminals

    request.only(("terminal", "rows", "columns"))
    name = request.text("terminal", longest=LONGEST_NAME)
    rows, columns = _size(request)
    source.terminals.check(request.page, name)
    containers = (await source.notebook.runtime()).containers
    if not isinstance(containers, OpensTerminals):
        raise InvalidRequest(
            "The server that runs this notebook's container offers no terminals.",
            hint="Use !command cells, or on that server: agent-kernel containers attach",
        )
    container = await source.notebook.container.open(CellOutputs(lambda _kind, _content: None))
    source.notebook.container.touched()
    source.terminals.check(request.page, name)
    opening = OpenTerminal(containers.terminal(container.id, rows, columns))
    source.terminals.add(request.page, name, opening)
    try:
        await opening.opened()
    except AgentKernelError:
        source.terminals.end(request.page, name)
        raise
    return {"container": container.id}


def _size(request: PanelRequest) -> tuple[int, int]:
    rows, columns = (request.number(name, most=MOST_CELLS) for name in ("rows", "columns"))
    if not rows or not columns:
        raise InvalidRequest("A terminal needs at least one row and one column.")
    return rows, columns


def _asked(source: PanelSource, request: PanelRequest, *others: str) -> OpenTerminal:
    request.only(("terminal", *others))
    return source.terminals.get(request.page, request.text("terminal", longest=LONGEST_NAME))


async def read(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return what a terminal shows next; see `OpenTerminal.read`."""
    found = _asked(source, request, "seen")
    return await found.read(request.number("seen", most=1 << 50))


async def write(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Type what is in the buffer."""
    found = _asked(source, request)
    if len(request.buffers) != 1:
        raise InvalidRequest("terminal-write needs one buffer.")
    source.notebook.container.touched()
    await found.write(request.buffers[0])
    return {}


async def resize(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Resize the window."""
    found = _asked(source, request, "rows", "columns")
    await found.resize(*_size(request))
    return {}


async def end(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Hang up, as closing a terminal's window does."""
    request.only(("terminal",))
    source.terminals.end(request.page, request.text("terminal", longest=LONGEST_NAME))
    return {}
