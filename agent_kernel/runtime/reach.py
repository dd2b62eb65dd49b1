"""The running turns of one tenant as other connections and other processes reach them.

A question that comes from elsewhere is JSON: `{"answer": ...}` to a question of the turn, or `{"steer": ...}`
with a message of the user's. So is what comes back: `{"answered": true}`, `{"event": ...}`, `{"error": ...}`
or, if there is no such turn, `{}`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Protocol

from openai.types.responses.response_steer_accepted_event import ResponseSteerAcceptedEvent
from openai.types.responses.response_steer_failed_event import ResponseSteerFailedEvent

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.base import SessionEvent
from agent_kernel.store.coordination import FindTurn, LocalTurns


class Steered(Protocol):
    """A connection whose turn can be steered."""

    async def steer(self, previous_response_id: object, given: object, *, here: bool = True) -> SessionEvent:
        """See `Session.steer`; from elsewhere the event takes no number of the turn's."""
        ...


class Answered(Protocol):
    """The open questions of turns; see `OpenQuestions`."""

    def asks(self, response_id: str) -> bool:
        """Return whether a turn has an open question here."""
        ...

    def answer(self, response_id: str, given: Mapping[str, Any]) -> None:
        """Answer a question. Raises `InvalidRequest`."""
        ...


class Journaled(Protocol):
    """Background turns; see `Background`."""

    def written(self, response_id: str) -> asyncio.Event | None:
        """See `LocalTurns`."""
        ...

    async def cancel(self, response_id: str) -> None:
        """See `LocalTurns`."""
        ...


class Reach:
    """See `LocalTurns`."""

    def __init__(
        self, background: Journaled, questions: Answered, connections: Mapping[str, Steered]
    ) -> None:
        self._background = background
        self._questions = questions
        self._connections = connections

    def has(self, response_id: str) -> bool:
        """Return whether a turn runs here, and is of use to others."""
        return (
            self.written(response_id) is not None
            or response_id in self._connections
            or self._questions.asks(response_id)
        )

    def written(self, response_id: str) -> asyncio.Event | None:
        """See `LocalTurns`."""
        return self._background.written(response_id)

    async def cancel(self, response_id: str) -> None:
        """See `LocalTurns`."""
        await self._background.cancel(response_id)

    async def ask(self, response_id: str, question: str) -> str:
        """See `LocalTurns`."""
        try:
            match json.loads(question):
                case {"answer": given}:
                    self._questions.answer(response_id, given)
                    return json.dumps({"answered": True})
                case {"steer": given} if response_id in self._connections:
                    event = await self._connections[response_id].steer(response_id, given, here=False)
                    return json.dumps({"event": to_json(event)})
        except InvalidRequest as error:
            told = {
                "message": error.message,
                "hint": error.hint,
                "param": error.param,
                "code": error.request_code,
            }
            return json.dumps({"error": told})
        return "{}"


class TakesOver(Protocol):
    """Turns that are just taken over from dead processes; see `background.recovery`."""

    def taken(self, response_id: str) -> asyncio.Event | None:
        """Return an event that is set when a turn that is just recovered here runs, or has ended."""
        ...


class Recovered:
    """See `LocalTurns`: a turn that is being recovered. `find` finds it as soon as it runs."""

    def __init__(self, recovery: TakesOver, find: FindTurn) -> None:
        self._recovery = recovery
        self._find = find

    def written(self, response_id: str) -> asyncio.Event | None:
        """See `LocalTurns`."""
        return self._recovery.taken(response_id)

    async def cancel(self, response_id: str) -> None:
        """See `LocalTurns`."""
        if (turns := await self._running(response_id)) is not None:
            await turns.cancel(response_id)

    async def ask(self, response_id: str, question: str) -> str:
        """See `LocalTurns`."""
        turns = await self._running(response_id)
        return await turns.ask(response_id, question) if turns is not None else "{}"

    async def _running(self, response_id: str) -> LocalTurns | None:
        while (taken := self._recovery.taken(response_id)) is not None:
            await taken.wait()
        return self._find(response_id)


def answer_of(answer: str) -> dict[str, Any]:
    """Return what another process has answered. Raises the `InvalidRequest` that it says."""
    said: dict[str, Any] = json.loads(answer)
    if "error" in said:
        told = said["error"]
        raise InvalidRequest(told["message"], hint=told["hint"], param=told["param"], code=told["code"])
    return said


def event_of(said: Mapping[str, Any]) -> SessionEvent:
    """Return the answer of a steered turn as an event."""
    accepted = said["type"] == "response.steer.accepted"
    return (ResponseSteerAcceptedEvent if accepted else ResponseSteerFailedEvent).construct(**said)
