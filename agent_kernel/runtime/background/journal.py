"""The journal of one turn: its events in the store, in batches, for those who follow it and for a restart."""

from __future__ import annotations

import asyncio
import json

from openai.types.responses import ResponseOutputItemDoneEvent, ResponseStreamEvent

from agent_kernel.protocol.items import to_json
from agent_kernel.store.records import JournalEntry
from agent_kernel.store.rows import Rows

UNWRITTEN = 256
"""Events that may wait to be written; then the turn waits."""


def entry_of(event: ResponseStreamEvent) -> JournalEntry:
    """An event as the journal has it."""
    body = to_json(event)
    return body["sequence_number"], json.dumps(body)


class Journal:
    """Writes one turn's events, and tells followers of each batch."""

    def __init__(self, store: Rows, response_id: str) -> None:
        self._store = store
        self._id = response_id
        self._waiting: list[JournalEntry] = []
        self._writing = asyncio.Lock()
        self._pending: asyncio.Task[None] | None = None
        self.written = asyncio.Event()

    async def add(self, event: ResponseStreamEvent) -> None:
        """Take an event; a finished item is written when this returns."""
        self._waiting.append(entry_of(event))
        if isinstance(event, ResponseOutputItemDoneEvent) or len(self._waiting) >= UNWRITTEN:
            await self.flush()
        elif self._pending is None or self._pending.done():
            self._pending = asyncio.create_task(self.flush())

    async def flush(self) -> None:
        """Write what waits."""
        async with self._writing:
            batch, self._waiting = self._waiting, []
            if batch:
                await self._store.append_events(self._id, batch)
                self.tell()

    def tell(self) -> None:
        """Wake the followers."""
        self.written.set()
        self.written = asyncio.Event()

    async def close(self) -> None:
        """Write the rest."""
        if self._pending is not None:
            await asyncio.gather(self._pending, return_exceptions=True)
        await self.flush()
