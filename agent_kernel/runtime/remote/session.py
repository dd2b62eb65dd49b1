"""A session with a remote runtime; see `base.Session`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from openai.types.responses import ResponseStreamEvent
from openai.types.responses.response_steer_failed_event import ResponseSteerFailedEvent

from agent_kernel.runtime.base import ResponseRequest, SessionEvent

Respond = Callable[[ResponseRequest], AsyncGenerator[ResponseStreamEvent, None]]


class RemoteSession:
    """Turns over HTTP: they cannot be steered, and `steer` says so."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond

    async def respond(self, request: ResponseRequest) -> AsyncGenerator[SessionEvent, None]:
        """Run one turn; see `base.Session.respond`."""
        async with aclosing(self._respond(request)) as events:
            async for event in events:
                yield event

    async def steer(self, previous_response_id: object, given: object) -> SessionEvent:
        """Return `response.steer.failed`: steering needs a session that supports it."""
        return not_steered(previous_response_id, given, "This runtime cannot be steered.")

    def lost(self, error: Exception) -> Sequence[SessionEvent]:
        """Return nothing: no message was accepted."""
        return ()


def not_steered(previous_response_id: object, given: object, why: str) -> ResponseSteerFailedEvent:
    """Return the event that says why a steering message was refused."""
    return ResponseSteerFailedEvent.construct(
        type="response.steer.failed",
        sequence_number=0,
        error={"type": "invalid_request_error", "code": "steering_not_supported", "message": why},
        steer={"previous_response_id": str(previous_response_id), "input": given},
    )
