"""Detects a peer that has stopped answering: asks it after a silence, while a call waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

SILENCE = 30.0
"""Seconds without a byte, after which the peer is asked."""

ANSWER_TIMEOUT = 30.0
"""Seconds that it has to answer. A command may take its time, but boxd itself answers at once."""


class Silence:
    """Calls `ask()` after `SILENCE` seconds without a byte, and `unanswered()` if that takes too long.

    `waiting()` says whether a call waits. Use it from one event loop. It costs one timer while a call waits,
    and none otherwise.
    """

    def __init__(
        self,
        waiting: Callable[[], bool],
        ask: Callable[[], Awaitable[None]],
        unanswered: Callable[[], Awaitable[None]],
    ) -> None:
        self._waiting = waiting
        self._ask = ask
        self._unanswered = unanswered
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None

    def heard(self) -> None:
        """Note that bytes came."""
        self._heard = asyncio.get_running_loop().time()

    def begin(self) -> None:
        """Note that a call waits from now on."""
        if self._timer is None and (self._asking is None or self._asking.done()):
            self.heard()
            self._look()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        if not self._waiting():
            return
        if (left := self._heard + SILENCE - loop.time()) > 0:
            self._timer = loop.call_later(left, self._look)
        else:
            self._asking = asyncio.create_task(self._question(), name="silence")

    async def _question(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self._ask()
        except TimeoutError:
            await self._unanswered()
        else:
            self._look()

    async def aclose(self) -> None:
        """Stop watching. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._asking is not None and self._asking is not asyncio.current_task():
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
