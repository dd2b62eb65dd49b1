"""Turns from the request to the last event, for all callers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace
from typing import Protocol

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.broken import ResumePoint
from agent_kernel.runtime.access.quota import Quota
from agent_kernel.runtime.base import ResponseRequest
from agent_kernel.runtime.included import Included
from agent_kernel.runtime.turns.channel import ROOM
from agent_kernel.runtime.turns.conversations import LocalConversations
from agent_kernel.runtime.turns.interrupt import Interrupt
from agent_kernel.runtime.turns.loop import Events, TurnLoop
from agent_kernel.runtime.turns.preparation import Memory, Preparation
from agent_kernel.runtime.turns.request import TurnRequest, read_request, without_unknown
from agent_kernel.runtime.turns.turn import Turn
from agent_kernel.store.records import ResponseRow
from agent_kernel.tools.base import Environment


class Recovers(Protocol):
    """Recovers the turns of dead processes; see `runtime.background.recovery`."""

    async def once(self) -> None:
        """Recover turns, once per process."""
        ...

    async def again(self) -> bool:
        """Look again. Return whether any turn was recovered."""
        ...


class Turns:
    """Prepares turns and carries them out."""

    def __init__(
        self,
        preparation: Preparation,
        loop: TurnLoop,
        conversations: LocalConversations,
        recovery: Recovers,
        allowance: Quota,
    ) -> None:
        self._preparation = preparation
        self._loop = loop
        self._conversations = conversations
        self._recovery = recovery
        self._allowance = allowance

    def admitted(self) -> AbstractContextManager[None]:
        """Hold a place in the quota while one or more turns run. Raises `LimitReached` before all else."""
        return self._allowance.turn()

    @asynccontextmanager
    async def prepared(
        self, request: ResponseRequest, interrupt: Interrupt | None = None, memory: Memory | None = None
    ) -> AsyncGenerator[Turn, None]:
        """Prepare a turn, and hold its resources while it runs. Raises every refusal of the request."""
        turn = read_request(request)
        await self._recovery.once()
        with self._conversations.claim(turn.conversation_id):
            try:
                run = await self._preparation.run(turn, interrupt, memory)
            except InvalidRequest:
                if not await self._recovery.again():  # what it continues may have been another process's
                    raise
                run = await self._preparation.run(turn, interrupt, memory)
            yield run

    @asynccontextmanager
    async def resumed(
        self, row: ResponseRow, standing: ResumePoint, interrupt: Interrupt
    ) -> AsyncGenerator[Turn, None]:
        """Prepare a background turn to continue where its process died. Raises as `prepared` does."""
        turn = _in(row.container_id, read_request({**without_unknown(row.request), "input": []}))
        with self._conversations.claim(turn.conversation_id):
            run = await self._preparation.resumed(replace(turn, input=row.input), row, standing, interrupt)
            yield replace(run, resumed=row.resumed + 1)

    def events(self, run: Turn, room: int = ROOM) -> Events:
        """Return the whole stream of a turn; see `TurnLoop.events`."""
        shown, events = Included(run.turn.include), self._loop.events(run, room)
        calls = [entry.tool.call_type for entry in run.turn.tools]
        return shown.events(events) if shown.hides(calls) else events


def _in(container_id: str | None, turn: TurnRequest) -> TurnRequest:
    """Return the turn with this container, which must not be chosen again."""
    if container_id is None or turn.environment is None:
        return turn
    kept = Environment("reference", turn.environment.tool_index, container_id=container_id)
    return replace(turn, environment=kept, file_ids=())
