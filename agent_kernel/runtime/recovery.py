"""After a crash: turns whose process died become incomplete, with the reason, and can be continued."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace

from agent_kernel.protocol.broken import end_broken
from agent_kernel.runtime.ownership import Owner
from agent_kernel.runtime.store import Finish, JournalEntry, ResponseRow, Store

log = logging.getLogger(__name__)

INTERRUPTED = "agent_kernel.interrupted"
"""`incomplete_details.reason` of a turn whose process died."""

READ = 1000


class Recovery:
    """Looks once, at the first use of a store, for what dead processes left. `owner` is this process."""

    def __init__(self, store: Store, owner: Owner) -> None:
        self._store = store
        self._owner = owner
        self._lock = asyncio.Lock()
        self._done = False

    async def once(self) -> None:
        """Claim the ownership of turns to come, and end those that nobody owns any more."""
        if not self._done:
            async with self._lock:
                await self._first()

    async def _first(self) -> None:
        if not self._done:  # another may have been first at the lock
            await self._store.identity()  # makes the folder, with its errors in words
            self._owner.claim()
            for row in await self._store.unfinished_responses():
                dead = row.owner
                if dead is None or self._owner.is_alive(dead):
                    continue
                if await self._store.adopt_response(row.id, dead, self._owner.id):
                    await self._end(row)
            self._done = True

    async def _end(self, row: ResponseRow) -> None:
        """Background turns are not begun again: what they did may not be done twice."""
        journal = [json.loads(text) for _, text in await journal_of(self._store, row.id)]
        ending = end_broken(row.response, journal, INTERRUPTED)
        ended = replace(row, status="incomplete", response=ending.response, owner=None)
        background = bool(row.request.get("background"))
        events = [(event["sequence_number"], json.dumps(event)) for event in ending.events]
        said = (*ended.input, *ended.response["output"]) if row.conversation_id is not None else ()
        await self._store.finish_response(Finish(ended, events, background, True, said))
        log.warning(
            "The turn %s was interrupted by the end of its process.", row.id, extra={"response_id": row.id}
        )


async def journal_of(store: Store, response_id: str) -> list[JournalEntry]:
    """A response's whole journal."""
    entries: list[JournalEntry] = []
    while batch := await store.events(response_id, entries[-1][0] if entries else -1, READ):
        entries += batch
    return entries
