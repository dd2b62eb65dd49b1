"""Stopping a turn from outside: by a cancel, by a steering message, at the end of a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal, TypeVar

T = TypeVar("T")

AHEAD = 8
"""Pieces that a source may be ahead of its reader."""

_END = object()


class Stopped(Exception):
    """The turn was asked to stop. Never leaves the runtime."""


class Interrupt:
    """One turn's way to be stopped. `status` and `reason` say how the response is to end, once asked for."""

    def __init__(self) -> None:
        self.status: Literal["incomplete", "cancelled"] | None = None
        self.reason = ""
        self._waiting: dict[asyncio.Task[None], float] = {}

    def stop(
        self, status: Literal["incomplete", "cancelled"], reason: str = "", *, patience: bool = False
    ) -> None:
        """Ask the turn to stop; the first who asks decides how it ends, a cancel excepted.

        With `patience`, a command that runs has the grace of its source before it is stopped.
        """
        if self.status is None or status == "cancelled":
            self.status, self.reason = status, reason
        for task, grace in self._waiting.items():
            if patience and grace:
                asyncio.get_running_loop().call_later(grace, task.cancel)
            else:
                task.cancel()

    def check(self) -> None:
        """Raise `Stopped` if it was asked for: at the places where a turn may end."""
        if self.status is not None:
            raise Stopped

    async def through(
        self, source: AsyncGenerator[T, None], *, grace: float = 0.0
    ) -> AsyncGenerator[T, None]:
        """Pass `source` on, and raise `Stopped` in its place when the turn is to stop.

        The source runs in a task of its own, that it may be ended while it waits. `grace` is in seconds.
        """
        room, queue = asyncio.Semaphore(AHEAD), asyncio.Queue[Any]()

        async def pump() -> None:
            async with aclosing(source):
                async for piece in source:
                    await room.acquire()
                    queue.put_nowait(piece)

        self.check()
        task = asyncio.create_task(pump())
        task.add_done_callback(lambda _: queue.put_nowait(_END))  # also if it is cancelled before it began
        self._waiting[task] = grace
        try:
            while (piece := await queue.get()) is not _END:
                room.release()
                yield piece
        finally:
            del self._waiting[task]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if task.cancelled():
            raise Stopped
        if (error := task.exception()) is not None:
            raise error
