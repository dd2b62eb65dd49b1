"""The journal of one turn: its events in the store, in batches, for followers and for recovery."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from openai.types.responses import ResponseOutputItemDoneEvent, ResponseStreamEvent

from agent_kernel.protocol.items import to_json
from agent_kernel.store.records import JournalEntry
from agent_kernel.store.rows import Rows

UNWRITTEN = 256
"""Events that may wait to be written; then the turn waits."""


def entry_of(event: ResponseStreamEvent) -> JournalEntry:
    """Return an event as a journal entry."""
    body = to_json(event)
    return body["sequence_number"], json.dumps(body)


class Journal:
    """Writes one turn's events, and wakes its followers after each batch."""

    def __init__(self, store: Rows, response_id: str) -> None:
        self._store = store
        self._id = response_id
        self._waiting: list[JournalEntry] = []
        self._writing = asyncio.Lock()
        self._pending: asyncio.Task[None] | None = None
        self.written = asyncio.Event()
        self._ended = False

    def take(self, event: ResponseStreamEvent) -> bool:
        """Take an event. Return whether the caller must `flush` before the event goes out.

        A finished item needs a flush, and so does any event when many wait. Other events are written soon.
        """
        if self._ended:
            return False
        self._waiting.append(entry_of(event))
        if isinstance(event, ResponseOutputItemDoneEvent) or len(self._waiting) >= UNWRITTEN:
            return True
        if self._pending is None or self._pending.done():
            self._pending = asyncio.create_task(self._flush_all())
        return False

    async def _flush_all(self) -> None:
        while self._waiting:  # otherwise events from during a write would wait for the next event
            await self.flush()

    def entries(self, events: Sequence[ResponseStreamEvent]) -> list[JournalEntry]:
        """Return events as the store keeps them."""
        return [entry_of(event) for event in events]

    async def flush(self) -> None:
        """Write the waiting events. If this is cancelled, a batch that is being written is completed.

        After an error they wait again.
        """
        async with self._writing:
            batch, self._waiting = self._waiting, []
            if batch:
                try:
                    await asyncio.shield(self._store.append_events(self._id, batch))
                except Exception:
                    self._waiting[:0] = batch
                    raise
                self.wake()

    def wake(self) -> None:
        """Wake the followers."""
        self.written.set()
        self.written = asyncio.Event()

    async def hand_over(self) -> None:
        """Write the rest, and nothing more: another process goes on with it."""
        self._ended = True
        await self.close()

    async def close(self) -> None:
        """Write the rest."""
        if self._pending is not None:
            await asyncio.gather(self._pending, return_exceptions=True)
        await self.flush()
