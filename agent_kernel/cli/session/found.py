"""A kept session, named on the command line by its id or its name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from agent_kernel.runtime.archive.contents import ArchivedSession
    from agent_kernel.store.records import SessionRow
    from agent_kernel.store.rows import Rows


async def find_session(rows: Rows, name: str) -> SessionRow:
    """Return a kept session by its id or its name. Raises `NotFound`, and `InvalidRequest` if several fit."""
    found = await rows.session(name)
    if found is not None:
        return found
    named = [each for each in await rows.sessions() if each.name == name]
    if len(named) > 1:
        raise InvalidRequest(
            f"{len(named)} sessions have the name {name!r}.",
            hint=f"Name the id of one: {', '.join(each.id for each in named[:5])}",
        )
    found = await rows.session(named[0].id) if named else None
    if found is None:
        raise NotFound(f"There is no kept session {name!r}.", hint="See: agent-kernel session list")
    return found


async def archived_session(rows: Rows, name: str) -> ArchivedSession:
    """Return what is to be exported: a kept session, or the conversation that ends with a response.

    Raises as `find_session`.
    """
    from agent_kernel.protocol import ids
    from agent_kernel.runtime.archive.contents import ArchivedSession

    if name.startswith("resp_"):
        response = await rows.response(name)
        if response is None:
            raise NotFound(
                f"There is no response {name!r} in this store.",
                hint="For kept sessions: agent-kernel session list. For another store, add --data-dir.",
            )
        return ArchivedSession(
            ids.session_id(), response_id=name, container_id=response.container_id,
            created_at=int(response.created_at), updated_at=int(response.created_at),
        )  # fmt: skip
    row = await find_session(rows, name)
    return ArchivedSession(
        row.id, row.name, int(row.created_at), int(row.updated_at), row.response_id, row.container_id,
        row.notebook, row.responses, json.loads(row.state) if row.state else {},
    )  # fmt: skip
