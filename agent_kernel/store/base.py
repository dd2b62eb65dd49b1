"""A store: everything that outlives a process, in three parts with separate contracts."""

from __future__ import annotations

from dataclasses import dataclass

from agent_kernel.store.blobs import Blobs
from agent_kernel.store.coordination import Coordination
from agent_kernel.store.documents import Documents
from agent_kernel.store.rows import Rows


@dataclass(frozen=True)
class Store:
    """Rows, the bytes of uploads, and the coordination of processes that share them."""

    rows: Rows
    blobs: Blobs
    coordination: Coordination
    documents: Documents | None = None
    """The vector stores; None: this kind of store has none."""

    async def aclose(self) -> None:
        """Release all parts. Idempotent.

        Coordination comes last: another process must not recover a turn whose end is still being written.
        """
        if self.documents is not None:
            await self.documents.aclose()
        await self.rows.aclose()
        await self.coordination.aclose()
