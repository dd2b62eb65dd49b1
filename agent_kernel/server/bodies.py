"""A request's body on its way in: how long it was waited for, and whether it is whole."""

from __future__ import annotations

import asyncio
import time

from starlette.types import Message, Receive, Scope

from agent_kernel.errors import TooSlow

PATIENCE = 30.0
"""Seconds that a client may let us wait for its body, all waits together ..."""

SLOWEST = 1000
"""... and one more for so many bytes that have come."""

_BODY = "agent_kernel.body"


class Body:
    """Stands in for `receive`. The client's time counts, not the time that we take with what has come."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        scope[_BODY] = self
        self._receive = receive
        self._left = PATIENCE
        self.whole = False

    async def __call__(self) -> Message:
        """Wait for the next message. Raises `TooSlow` when the client's time is up."""
        if self.whole:
            return await self._receive()
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._left):
                message = await self._receive()
        except TimeoutError:
            raise TooSlow("The body of the request did not come in time.", mend="Send it again.") from None
        self._left -= time.monotonic() - began - len(message.get("body", b"")) / SLOWEST
        self.whole = not message.get("more_body", False)
        return message


def is_whole(scope: Scope) -> bool:
    """Whether nothing more of the request's body is to come."""
    body = scope.get(_BODY)
    return isinstance(body, Body) and body.whole
