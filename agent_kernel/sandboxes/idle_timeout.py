"""A peer that says nothing for long: it is asked whether it is there, while somebody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

SILENCE = 30.0
"""Seconds without a word, after which it is asked."""

ANSWER_TIMEOUT = 30.0
"""Seconds that it has for its answer. A command may take its time, but boxd itself always answers at once."""


class Silence:
    """Calls `ask()` when there was nothing to hear for long, and `unanswered()` if that takes long, too.

    `waiting()` says whether anybody waits. From one event loop; costs one timer, and none while nobody waits.
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
        """Something was said."""
        self._heard = asyncio.get_running_loop().time()

    def begin(self) -> None:
        """Somebody waits from now on."""
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
        """Look no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._asking is not None and self._asking is not asyncio.current_task():
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
