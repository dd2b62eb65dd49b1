"""The stored turns of a conversation, named on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from agent_kernel.cli.session.found import find_session
from agent_kernel.config import Settings
from agent_kernel.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from agent_kernel.store.base import Store
    from agent_kernel.store.records import ResponseRow
    from agent_kernel.store.rows import Rows


async def read_chain(rows: Rows, name: str) -> list[ResponseRow]:
    """Return the turns of a conversation, oldest first.

    `name` is the id of its last response, or the id or the name of a kept session. Raises `NotFound` if there
    is none, and `InvalidRequest` if the conversation is damaged, still runs, or several have this name.
    """
    from agent_kernel.conversion.reading import checked

    found = await rows.chain(await _last_response(rows, name))
    if not found:
        raise NotFound(
            f"There is no conversation {name!r} in this store.",
            hint="Name a kept session, or the id of the last response: resp_... See also: --data-dir",
        )
    if found[0].previous_id is not None:
        raise InvalidRequest(
            f"The conversation is not whole: its response {found[0].previous_id} was deleted.",
            hint="Only whole conversations can be written.",
        )
    if found[-1].owner is not None:
        raise InvalidRequest(
            f"The response {name} is still {found[-1].status}.", hint="Wait for its end, or interrupt it."
        )
    return checked(found)


async def _last_response(rows: Rows, name: str) -> str:
    if name.startswith("resp_"):
        return name
    session = await find_session(rows, name)
    if session.response_id is None:
        raise InvalidRequest(f"The session {name!r} has no turn yet.")
    return session.response_id


async def filled(store: Store, settings: Settings, rows: Sequence[ResponseRow]) -> list[ResponseRow]:
    """Return the turns with the data of uploaded files in place of their ids."""
    from agent_kernel.runtime.uploads.attachments import Attachments
    from agent_kernel.runtime.uploads.uploaded_files import LocalFiles

    attachments = Attachments(LocalFiles(store.rows, store.blobs, settings.container.upload_limit))
    return [replace(row, input=await attachments.filled(row.input)) for row in rows]
