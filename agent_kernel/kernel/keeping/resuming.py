"""What of a kept session can be gone on with: its state, its response and its container."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest, NotFound
from agent_kernel.kernel.keeping.return_of import mark_gone, returned
from agent_kernel.kernel.keeping.state import NotebookState, StateUnreadable, read_state
from agent_kernel.kernel.keeping.words import CameBack
from agent_kernel.kernel.transfer.documents import still_there

if TYPE_CHECKING:
    from agent_kernel.runtime.base import Runtime
    from agent_kernel.runtime.kept import KeptSession

STILL_RUNNING = ("in_progress", "queued")


def read(kept: KeptSession) -> tuple[NotebookState, CameBack]:
    """Return the state of a session; an empty one if it cannot be read."""
    try:
        state = read_state(kept.state)
    except StateUnreadable as error:
        return NotebookState(), CameBack(unreadable=str(error))
    return state, CameBack(cells=len(state.tree.cells()), branches=len(state.tree.branches))


async def container_of(
    runtime: Runtime, kept: KeptSession, state: NotebookState, back: CameBack
) -> tuple[NotebookState, CameBack]:
    """Bring the container of a session back. Raises `SandboxError` if it cannot be asked now."""
    if kept.container_id is None:
        return replace(state, at=None), replace(back, had_container=False)
    there = await returned(runtime.containers, kept.container_id, state.at)
    if there.ended and not there.restored:
        state = replace(state, at=None)
    if not there.gone:
        await mark_gone(runtime.containers, kept.container_id, state.points)
    back = replace(back, container=there.gone, ended=there.ended, shell=there.shell)
    return state, replace(back, variables=state.variables)


async def documents_of(
    runtime: Runtime, state: NotebookState, back: CameBack
) -> tuple[NotebookState, CameBack]:
    """Leave out the documents that were deleted meanwhile. Raises what the runtime raises."""
    if not state.documents.names:
        return state, back
    documents, lost = await still_there(state.documents, runtime)
    back = replace(back, documents=len(documents.names), lost_documents=tuple(lost))
    return replace(state, documents=documents), back


async def conversation_of(runtime: Runtime, kept: KeptSession, back: CameBack) -> tuple[str | None, CameBack]:
    """Return the response to continue: that of a turn that was cut off, else the one that was kept.

    Raises `InvalidRequest` if that turn is still running.
    """
    for response_id in filter(None, (kept.interrupted, kept.response_id)):
        try:
            response = await runtime.retrieve(response_id)
        except NotFound:
            continue
        if response.status in STILL_RUNNING:
            raise InvalidRequest(
                "A turn of this session is still running, so this cell was not run.",
                hint="Run it again when the turn has ended.",
            )
        if response.status in ("completed", "incomplete"):
            return response.id, replace(back, interrupted=response_id == kept.interrupted)
    if kept.response_id is None:
        return None, back
    return None, replace(back, conversation="it is no longer stored")
