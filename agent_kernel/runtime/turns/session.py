"""One client's connection: turns one after the other, remembered while it lasts, steered while they run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from openai.types.responses import ResponseStreamEvent
from openai.types.responses.response_steer_accepted_event import ResponseSteerAcceptedEvent
from openai.types.responses.response_steer_failed_event import ResponseSteerFailedEvent
from openai.types.responses.response_steer_pending_event import ResponseSteerPendingEvent

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol import ids
from agent_kernel.protocol.wellformed import well_formed
from agent_kernel.runtime.base import ResponseRequest, SessionEvent
from agent_kernel.runtime.reach import Steered
from agent_kernel.runtime.turns.history import History, Json
from agent_kernel.runtime.turns.input_items import output_of, read_items
from agent_kernel.runtime.turns.interrupt import Interrupt
from agent_kernel.runtime.turns.turn import Turn
from agent_kernel.runtime.turns.turns import Turns

STEERED = "steered"
"""`incomplete_details.reason` of a response that a steering message ended; the standard's own word."""

MOST_STEERS = 16
"""Steering messages that may wait for one response."""

REMEMBERED = 64
"""Responses kept nowhere else that a connection can continue; older ones are forgotten."""

AHEAD = 2
"""Events that a turn may be ahead of its reader. An answer to steering takes the turn's next number and goes
out at once, so with a large number here it would overtake many events."""

SteerElsewhere = Callable[[str, object], "Awaitable[SessionEvent | None]"]
"""Steers a response that runs on another connection or in another process; None if there is none."""

_ENDINGS = ("response.completed", "response.incomplete", "response.failed")


@dataclass
class _Steer:
    id: str
    given: Any
    items: list[Json]


@dataclass
class _Active:
    run: Turn
    interrupt: Interrupt
    steers: list[_Steer] = field(default_factory=list)
    ended: bool = False


class LocalSession:
    """See `base.Session`. Use `respond` from one task at a time; `steer` may come from another."""

    def __init__(
        self,
        turns: Turns,
        connections: MutableMapping[str, Steered] | None = None,
        elsewhere: SteerElsewhere | None = None,
    ) -> None:
        """`connections` have the tenant's running turns; `elsewhere` steers a turn of another process."""
        self._turns = turns
        self._connections = connections if connections is not None else {}
        self._elsewhere = elsewhere
        self._memory: dict[str, History] = {}
        self._active: _Active | None = None
        self._pending: dict[str, list[_Steer]] = {}
        self._ended: set[str] = set()

    async def respond(self, request: ResponseRequest) -> AsyncGenerator[SessionEvent, None]:
        """Run a turn, and the turns that steering it leads to; see `base.Session.respond`."""
        with self._turns.admitted():  # a successor runs under the admission of the first turn
            following: ResponseRequest | None = self._with_pending(request)
            while following is not None:
                async with aclosing(self._one(following)) as events:
                    async for event in events:
                        yield event
                active, self._active = self._active, None
                following = None
                if active is None or not active.steers:
                    continue
                if self._awaits_client(active.run):
                    self._pending[active.run.id] = active.steers
                    for steer in active.steers:
                        yield _pending(active.run, steer)
                else:
                    following = _successor(request, active)

    async def _one(self, request: ResponseRequest) -> AsyncGenerator[ResponseStreamEvent, None]:
        previous = request.get("previous_response_id")
        interrupt = Interrupt()
        ok = False
        try:
            async with self._turns.prepared(request, interrupt, self._memory) as run:
                active = self._active = _Active(run, interrupt)
                self._connections[run.id] = self
                try:
                    async with aclosing(self._turns.events(run, AHEAD)) as events:
                        async for event in events:
                            active.ended = event.type in _ENDINGS
                            yield event
                finally:
                    self._connections.pop(run.id, None)
                ok = run.assembler.response.status != "failed"
                self._ended.add(run.id)
                if ok and run.record.after is not None and not run.turn.store:
                    self._memory[run.id] = run.record.after
                    while len(self._memory) > REMEMBERED:
                        del self._memory[next(iter(self._memory))]
        finally:
            if not ok and isinstance(previous, str):  # a continuation that failed is not to be repeated
                self._memory.pop(previous, None)

    def _with_pending(self, request: ResponseRequest) -> ResponseRequest:
        steers = self._pending.pop(str(request.get("previous_response_id")), None)
        if steers is None:
            return request
        given = request.get("input")
        items = [{"role": "user", "content": given}] if isinstance(given, str) else list(given or [])
        return {**request, "input": [*(item for steer in steers for item in steer.items), *items]}

    @staticmethod
    def _awaits_client(run: Turn) -> bool:
        return run.assembler.response.status == "completed" and bool(_unanswered(run))

    async def steer(self, previous_response_id: object, given: object, *, here: bool = True) -> SessionEvent:
        """Queue a message of the user's for the running response; see `base.Session.steer`.

        A response of another connection of the tenant is steered there. `here`: the message comes from this
        connection, so the answer is one of its numbered events.
        """
        active = self._active
        if active is None or active.run.id != previous_response_id:
            if previous_response_id in self._ended:
                return _failed(previous_response_id, given, "response_already_completed", 0)
            if here and self._elsewhere is not None and isinstance(previous_response_id, str):
                event = await self._elsewhere(previous_response_id, given)
                if event is not None:
                    return event
            return _failed(previous_response_id, given, "response_not_found", 0)
        number = active.run.assembler.next_number if here else int
        if active.ended:
            return _failed(previous_response_id, given, "response_already_completed", number())
        if active.run.turn.conversation_id is not None or active.run.turn.compact_threshold is not None:
            return _failed(previous_response_id, given, "steering_not_supported", number())
        if len(active.steers) >= MOST_STEERS:
            return _failed(previous_response_id, given, "too_many_pending_steers", number())
        try:
            items = _user_messages(given)
        except InvalidRequest as error:
            return _failed(previous_response_id, given, "invalid_input", number(), str(error))
        steer = _Steer(ids.steer_id(), given, items)
        active.steers.append(steer)
        active.interrupt.stop("incomplete", STEERED, patience=True)
        return ResponseSteerAcceptedEvent.construct(
            type="response.steer.accepted",
            sequence_number=number(),
            steer={"id": steer.id, "previous_response_id": active.run.id},
        )

    def lost(self, error: Exception) -> list[SessionEvent]:
        """Give back the accepted messages of a successor that could not begin."""
        active, self._active = self._active, None
        if active is None:
            return []
        return [
            _failed(active.run.id, steer.given, "successor_creation_failed", 0, str(error), steer.id)
            for steer in active.steers
        ]


def _user_messages(given: object) -> list[Json]:
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    read = read_items(well_formed(items), "input")
    if not read or any(item["type"] != "message" or item.get("role") != "user" for item in read):
        raise InvalidRequest("Steering takes messages of the role user, and at least one.", param="input")
    return read


def _unanswered(run: Turn) -> list[Json]:
    items = list(run.produced.values())
    answered = {item["call_id"] for item in items if item["type"] in output_of().values()}
    return [item for item in items if item["type"] in output_of() and item["call_id"] not in answered]


def _successor(request: ResponseRequest, active: _Active) -> ResponseRequest:
    items = [item for steer in active.steers for item in steer.items]
    return {**request, "previous_response_id": active.run.id, "input": items}


def _pending(run: Turn, steer: _Steer) -> SessionEvent:
    asked = run.approvals.required()
    required = [
        asked.get(call["call_id"], {"type": output_of()[call["type"]], "call_id": call["call_id"]})
        for call in _unanswered(run)
    ]
    return ResponseSteerPendingEvent.construct(
        type="response.steer.pending",
        reason="waiting_for_required_input",
        required_input=required,
        sequence_number=run.assembler.next_number(),
        steer={"id": steer.id, "previous_response_id": run.id},
    )


_WORDS = {
    "response_not_found": "No response with this id runs here on a connection that can be steered.",
    "response_already_completed": "The response has ended and can no longer be steered.",
    "steering_not_supported": "A response in a conversation, or with compaction, cannot be steered.",
    "too_many_pending_steers": f"At most {MOST_STEERS} messages can wait for one response.",
}


def _failed(
    previous_id: object,
    given: object,
    code: str,
    number: int,
    words: str = "",
    id: str | None = None,  # noqa: A002
) -> SessionEvent:
    steer = {"previous_response_id": str(previous_id), "input": given}
    return ResponseSteerFailedEvent.construct(
        type="response.steer.failed",
        sequence_number=number,
        error={"type": "invalid_request_error", "code": code, "message": words or _WORDS[code]},
        steer=steer if id is None else {"id": id, **steer},
    )
