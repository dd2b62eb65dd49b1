"""The table of requests: one more is one function, and one line here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.panel import (
    browse,
    comparing,
    container,
    files,
    history,
    models,
    network,
    passages,
    readiness,
    settings,
    tables,
    terminals,
    variables,
)
from agent_kernel.kernel.panel.source import AnswersInPanel
from agent_kernel.kernel.panel.state import state_of

if TYPE_CHECKING:
    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.source import PanelSource

Result = Mapping[str, Any]
Answer = Callable[["PanelSource", "PanelRequest"], Awaitable[Result]]
"""Carries out a request and returns its result as JSON. Raises any `AgentKernelError`."""

CLOSED = "This question is closed: it was answered elsewhere, or the turn has ended."


async def _state(source: PanelSource, request: PanelRequest) -> Result:
    request.only(())
    return state_of(source)


async def _stop(source: PanelSource, request: PanelRequest) -> Result:
    """Interrupt the running cell; nothing happens if there is none."""
    request.only(())
    running = source.cell() is not None
    source.stop()
    return {"stopping": running}


async def _decide(source: PanelSource, request: PanelRequest) -> Result:
    """Answer the question that waits, as the live view's card does."""
    request.only(("question", "approve", "remember", "commands", "reason"))
    view = source.view()
    why = CLOSED
    if isinstance(view, AnswersInPanel):
        why = view.decide(request.text("question"), dict(request.arguments)) or ""
    if why:
        raise InvalidRequest(why)
    return {}


REQUESTS: dict[str, Answer] = {
    "state": _state,
    "stop": _stop,
    "decide": _decide,
    "settings": settings.read,
    "set": settings.change,
    "models": models.listing,
    "test_model": models.probe,
    "network": network.read,
    "set_network": network.change,
    "container": container.read,
    "new_container": container.renew,
    "reset_shell": container.reset,
    "variables": variables.listing,
    "table": variables.table,
    "files": files.listing,
    "passage": passages.around,
    "rows": tables.rows,
    "upload": files.upload,
    "chunk": files.chunk,
    "cancel": files.cancel,
    "readiness": readiness.examine,
    "prepare": readiness.prepare,
    "cancel_prepare": readiness.cancel,
    "example": readiness.example,
    "free": files.free,
    "uploaded": files.uploaded,
    "folder": browse.folder,
    "stat": browse.stat,
    "download": browse.download,
    "piece": browse.piece,
    "end": browse.end,
    "delete": browse.delete,
    "rename": browse.rename,
    "history": history.read,
    "compare": comparing.compare,
    "changes": comparing.changes,
    "rewind": history.rewind,
    "switch": history.switch,
    "rename_branch": history.rename,
    "delete_branch": history.delete,
    "terminal": terminals.terminal,
    "terminal-read": terminals.read,
    "terminal-write": terminals.write,
    "terminal-resize": terminals.resize,
    "terminal-end": terminals.end,
}

READS = frozenset(
    {
        *("state", "settings", "models", "test_model", "network", "container", "variables", "table", "files"),
        *(
            "rows",
            "readiness",
            "example",
            "free",
            "folder",
            "stat",
            "history",
            "compare",
            "changes",
            "terminal-read",
            "passage",
        ),
    }
)
"""The requests that change nothing: a page may send them again, and gets a new answer."""


async def carry_out(source: PanelSource, request: PanelRequest) -> Result:
    """Return the result of a request. Raises `InvalidRequest` for an unknown one, and what it raises."""
    answer = REQUESTS.get(request.name)
    if answer is None:
        known = ", ".join(REQUESTS)
        raise InvalidRequest("The kernel does not know this request.", hint=f"It knows: {known}.")
    return await answer(source, request)
