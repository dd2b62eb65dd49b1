"""Where the sandboxes of a store are: those that live in a folder belong to the servers of that folder."""

from __future__ import annotations

import asyncio

from agent_kernel.errors import ConfigurationError
from agent_kernel.sandboxes.base import Backend
from agent_kernel.store.folder.identity import folder_id
from agent_kernel.store.rows import Rows


async def claim_place(backend: Backend, store: Rows) -> None:
    """Check that this process reaches the sandboxes of a store, as a server would take others for dead.

    Raises `ConfigurationError` for sandboxes in a folder if the store has some in another one.
    """
    folder = backend.capabilities().folder
    if folder is None:
        return
    try:
        ours = await asyncio.to_thread(folder_id, folder)
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {folder} cannot be used: {error.strerror}.",
            hint="Set AGENT_KERNEL_DATA_DIR to a folder that can be written.",
        ) from None
    if await store.claim_sandboxes(ours) != ours:
        raise ConfigurationError(
            f"The {backend.name} sandboxes of this store belong to another machine or data folder, and this"
            " server cannot reach them.",
            hint="Servers on several machines need sandboxes that all of them reach: set"
            " AGENT_KERNEL_SANDBOX=docker with one engine for all. If the folder is lost and no server uses"
            " it, run in the database: DELETE FROM meta WHERE key = 'sandboxes'",
        )
