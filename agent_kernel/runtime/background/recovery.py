"""Recovery after a crash: turns of dead processes are resumed, or end as incomplete with a reason."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from agent_kernel.each import each
from agent_kernel.errors import AgentKernelError
from agent_kernel.protocol.broken import ResumePoint, end_broken, standing
from agent_kernel.runtime.turns.turn import INTERRUPTED
from agent_kernel.store.coordination import Coordination
from agent_kernel.store.records import Finish, JournalEntry, ResponseRow, Unfinished
from agent_kernel.store.rows import Rows
from agent_kernel.tools.catalogue import catalogue

log = logging.getLogger(__name__)

MOST = 3
"""A turn is resumed at most this often: it may be what kills its process."""

READ = 1000

Restart = Literal["resume", "end", "leave"]
"""The treatment of background turns of dead processes: resume if that is safe, end, or leave them."""

EndOrphans = Callable[[ResponseRow, Sequence[Mapping[str, Any]]], Awaitable[None]]
"""Ends in the sandbox the calls of a turn that is not resumed; the second argument is its journal."""

Resume = Callable[[ResponseRow, ResumePoint], Awaitable[None]]


class Recovery:
    """Finds turns of dead processes, at the first use of a store and when asked.

    `resume` continues a turn, or raises an `AgentKernelError`.
    """

    def __init__(
        self,
        rows: Rows,
        coordination: Coordination,
        restart: Restart,
        resume: Resume,
        end_orphans: EndOrphans | None = None,
    ) -> None:
        self._rows = rows
        self._coordination = coordination
        self._restart = restart
        self._resume = resume
        self._end_orphans = end_orphans
        self._lock = asyncio.Lock()
        self._done = False
        self._taking: dict[str, asyncio.Event] = {}

    def taken(self, response_id: str) -> asyncio.Event | None:
        """Return an event that is set when a turn that is just recovered here runs, or has ended.

        None if no such turn is recovered now.
        """
        return self._taking.get(response_id)

    async def once(self) -> None:
        """Register this process as an owner of turns, and recover what dead processes left."""
        if not self._done:
            async with self._lock:
                if not self._done:  # another task may have been first at the lock
                    await self._rows.identity()  # opens the store, with its own errors
                    await self._coordination.join()
                    await self._look()
                    self._done = True

    async def again(self) -> bool:
        """Check again, because another process may have died. Return whether any turn was recovered."""
        async with self._lock:
            return await self._look()

    async def _look(self) -> bool:
        found = False

        async def recover(turn: Unfinished) -> None:
            nonlocal found
            if await self._coordination.is_alive(turn.owner):
                return
            row = await self._rows.response(turn.id)
            if row is None or row.owner != turn.owner:  # another process was faster
                return
            background = bool(row.request.get("background"))
            if background and self._restart == "leave":
                return
            with self._takes(row.id):
                if await self._rows.adopt_response(row.id, turn.owner, self._coordination.id):
                    found = True
                    await self._recover(row, background)

        async def write_off(turn: Unfinished) -> None:
            nonlocal found
            found = True
            with self._takes(turn.id):
                await self._rows.adopt_response(turn.id, turn.owner, self._coordination.id)
                await self._write_off(turn)

        await each(await self._rows.unfinished_responses(), recover, write_off)
        return found

    @contextmanager
    def _takes(self, response_id: str) -> Iterator[None]:
        ended = self._taking[response_id] = asyncio.Event()
        try:
            yield
        finally:
            del self._taking[response_id]
            ended.set()

    async def _recover(self, row: ResponseRow, background: bool) -> None:
        point = await self._resume_point(row) if background and self._restart == "resume" else None
        if point is not None:
            try:
                await self._resume(row, point)
            except AgentKernelError as error:
                log.warning("Turn %s cannot be resumed: %s", row.id, error, extra={"response_id": row.id})
            except Exception:
                log.exception("Turn %s cannot be resumed.", row.id, extra={"response_id": row.id})
            else:
                log.warning("Turn %s is resumed by this process.", row.id, extra={"response_id": row.id})
                return
        await self._end(row, background)

    async def _resume_point(self, row: ResponseRow) -> ResumePoint | None:
        """Return where to resume, or None if resuming could do something twice.

        That is the case when an approval was being answered. A turn that died in a command goes on with it,
        if its sandbox still knows the command; see `tools.shell.rejoin`.
        """
        if row.resumed >= MOST:
            return None
        if any(item["type"] == "mcp_approval_response" for item in row.input):
            return None
        return standing((json.loads(text) for _, text in await journal_of(self._rows, row.id)), catalogue())

    async def _end(self, row: ResponseRow, background: bool) -> None:
        journal = [json.loads(text) for _, text in await journal_of(self._rows, row.id)]
        if self._end_orphans is not None:
            await self._end_orphans(row, journal)
        ending = end_broken(row.response, journal, INTERRUPTED, catalogue())
        ended = replace(row, status="incomplete", response=ending.response, owner=None)
        events = [(event["sequence_number"], json.dumps(event)) for event in ending.events]
        said = (*ended.input, *ended.response["output"]) if row.conversation_id is not None else ()
        await self._rows.finish_response(Finish(ended, events, background, True, said))
        log.warning(
            "Turn %s is incomplete: its process ended during it.", row.id, extra={"response_id": row.id}
        )

    async def _write_off(self, turn: Unfinished) -> None:
        """End a turn with an unusable row or journal, so that it is not checked again."""
        journal = await journal_of(self._rows, turn.id)
        response = {
            "id": turn.id,
            "object": "response",
            "created_at": int(turn.created_at),
            "model": turn.model,
            "status": "incomplete",
            "incomplete_details": {"reason": INTERRUPTED},
            "output": [],
            "tools": [],
            "tool_choice": "auto",
            "parallel_tool_calls": True,
        }
        number = journal[-1][0] + 1 if journal else 0
        last = {"type": "response.incomplete", "response": response, "sequence_number": number}
        if await self._rows.write_off_response(
            turn.id, self._coordination.id, response, (number, json.dumps(last))
        ):
            log.error(
                "Turn %s is incomplete: what the store has of it cannot be used.",
                turn.id,
                extra={"response_id": turn.id},
            )


async def journal_of(rows: Rows, response_id: str) -> list[JournalEntry]:
    """Return a response's whole journal."""
    entries: list[JournalEntry] = []
    while batch := await rows.events(response_id, entries[-1][0] if entries else -1, READ):
        entries += batch
    return entries
