"""After a crash: turns whose process died go on, or end as incomplete with the reason; none is lost."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Literal

from agent_kernel.errors import AgentKernelError
from agent_kernel.protocol.broken import ResumePoint, end_broken, standing
from agent_kernel.runtime.background.ownership import Owner
from agent_kernel.store.base import Finish, JournalEntry, ResponseRow, Store

log = logging.getLogger(__name__)

INTERRUPTED = "agent_kernel.interrupted"
"""`incomplete_details.reason` of a turn whose process died."""

RESUMED = "agent_kernel.resumed"
"""In the stored request of a background turn: how often it has gone on after the end of a process."""

MOST = 3
"""So often: a turn that ends its process each time must not do so for ever."""

READ = 1000

Restart = Literal["resume", "end", "leave"]
"""What becomes of background turns whose process died: they go on where that is safe, end, or are left."""

Resume = Callable[[ResponseRow, ResumePoint], Awaitable[None]]


class Recovery:
    """Looks, at the first use of a store and when asked, for what dead processes left.

    `owner` is this process. `resume` goes on with a turn, or raises an `AgentKernelError`.
    """

    def __init__(self, store: Store, owner: Owner, restart: Restart, resume: Resume) -> None:
        self._store = store
        self._owner = owner
        self._restart = restart
        self._resume = resume
        self._lock = asyncio.Lock()
        self._done = False

    async def once(self) -> None:
        """Claim the ownership of turns to come, and see to those that nobody owns any more."""
        if not self._done:
            async with self._lock:
                if not self._done:  # another may have been first at the lock
                    await self._store.identity()  # makes the folder, with its errors in words
                    self._owner.claim()
                    await self._look()
                    self._done = True

    async def again(self) -> bool:
        """Look again: another process of this store may have died. Whether there was anything to see to."""
        async with self._lock:
            return await self._look()

    async def _look(self) -> bool:
        found = False
        for row in await self._store.unfinished_responses():
            dead, background = row.owner, bool(row.request.get("background"))
            if dead is None or self._owner.is_alive(dead) or (background and self._restart == "leave"):
                continue
            if await self._store.adopt_response(row.id, dead, self._owner.id):
                found = True
                await self._see_to(row, background)
        return found

    async def _see_to(self, row: ResponseRow, background: bool) -> None:
        stands = await self._safe(row) if background and self._restart == "resume" else None
        if stands is not None:
            try:
                await self._resume(row, stands)
            except AgentKernelError as error:
                log.warning("The turn %s cannot go on: %s", row.id, error, extra={"response_id": row.id})
            else:
                log.warning("The turn %s goes on in this process.", row.id, extra={"response_id": row.id})
                return
        await self._end(row, background)

    async def _safe(self, row: ResponseRow) -> ResumePoint | None:
        """Where it stands, if going on does nothing twice: no command was under way, no approval answered."""
        if row.request.get(RESUMED, 0) >= MOST:
            return None
        if any(item["type"] == "mcp_approval_response" for item in row.input):
            return None
        return standing(json.loads(text) for _, text in await journal_of(self._store, row.id))

    async def _end(self, row: ResponseRow, background: bool) -> None:
        journal = [json.loads(text) for _, text in await journal_of(self._store, row.id)]
        ending = end_broken(row.response, journal, INTERRUPTED)
        ended = replace(row, status="incomplete", response=ending.response, owner=None)
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
