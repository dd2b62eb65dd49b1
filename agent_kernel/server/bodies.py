"""Requests' bodies on their way in: how long each is waited for, and how much memory all may hold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.types import Message, Receive, Scope

from agent_kernel.errors import LimitReached, TooSlow

PATIENCE = 30.0
"""Seconds that a client may let us wait for its body, all waits together ..."""

SLOWEST = 1000
"""... and one more for so many bytes that have come."""

TOGETHER = 256 << 20
"""Bytes that the JSON bodies of one key, or the WebSocket messages of all, may have while they come."""

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
            raise TooSlow("The body of the request did not come in time.", hint="Send it again.") from None
        self._left -= time.monotonic() - began - len(message.get("body", b"")) / SLOWEST
        self.whole = not message.get("more_body", False)
        return message


class Arriving:
    """The JSON bodies of one key that are coming: each may be slow, but not many large ones at once."""

    def __init__(self) -> None:
        self._bytes = 0

    @contextmanager
    def body(self) -> Iterator[Callable[[int], None]]:
        """Held while one comes; call it with the bytes of each piece. That raises `LimitReached`."""
        mine = 0

        def grow(size: int) -> None:
            nonlocal mine
            mine += size
            self._bytes += size
            if self._bytes > TOGETHER:
                raise LimitReached(
                    f"With this key {TOGETHER} bytes of requests can be on their way at the same time.",
                    hint="Send it again when the others have come.",
                    code="bodies_limit_reached",
                    retry_after=1.0,
                )

        try:
            yield grow
        finally:
            self._bytes -= mine


def is_whole(scope: Scope) -> bool:
    """Whether nothing more of the request's body is to come."""
    body = scope.get(_BODY)
    return isinstance(body, Body) and body.whole
