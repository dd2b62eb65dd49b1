"""The bounded channel from a turn to its reader.

The turn's steps are plain coroutines that put events in; the reader takes them out of one async generator. A
reader that does not read fills the channel, and every step waits. So a slow reader pauses the model and the
commands, and memory does not grow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Generic, TypeVar

E = TypeVar("E")

ROOM = 32
"""Events that may wait to be read before the steps wait. One step may exceed it by the events of one put."""


class EventChannel(Generic[E]):
    """A bounded queue with many writers and one reader."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._events: deque[E] = deque()
        self._closed = False
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []

    def put(self, events: Iterable[E]) -> None:
        """Add events. It never waits: a writer that is cancelled in `wait_for_room` has lost nothing."""
        self._events.extend(events)
        self._wake_reader()

    @property
    def is_full(self) -> bool:
        """Whether writers must wait."""
        return len(self._events) >= self._room

    async def wait_for_room(self) -> None:
        """Return when fewer than `room` events wait to be read."""
        while self.is_full:
            writer = asyncio.get_running_loop().create_future()
            self._writers.append(writer)
            await writer

    def close(self) -> None:
        """End the stream after the events that are in it."""
        self._closed = True
        self._wake_reader()

    async def take(self) -> E | None:
        """Return the next event, None at the end."""
        while not self._events:
            if self._closed:
                return None
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
            self._reader = None
        event = self._events.popleft()
        if self._writers and len(self._events) < self._room:
            self._wake_writers()
        return event

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _wake_writers(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            if not writer.done():  # else its task was cancelled
                writer.set_result(None)


_unread: set[asyncio.Task[None]] = set()
"""Turns that are still ending although their reader was cancelled twice. They are kept here because the
event loop holds its tasks weakly."""


async def streamed(
    work: Callable[[EventChannel[E]], Awaitable[None]], room: int = ROOM
) -> AsyncGenerator[E, None]:
    """Run `work` in a task and yield the events that it puts into its channel.

    Raises what `work` raises, after the events before it. Closing or cancelling the generator cancels `work`
    and returns when it has ended.
    """
    channel = EventChannel[E](room)

    async def run() -> None:
        await work(channel)

    def ended(task: asyncio.Task[None]) -> None:
        channel.close()
        if not task.cancelled():
            task.exception()  # a reader that has left does not ask for it

    task = asyncio.create_task(run())
    task.add_done_callback(ended)
    try:
        while (event := await channel.take()) is not None:
            yield event
    finally:
        if not task.done():
            _unread.add(task)
            task.add_done_callback(_unread.discard)
            task.cancel()
            await asyncio.wait({task})
    task.result()


async def together(*calls: Awaitable[None]) -> None:
    """Run calls at the same time. The first failure cancels the others and is raised unchanged."""
    if len(calls) == 1:
        await calls[0]
        return

    async def run(call: Awaitable[None]) -> None:
        await call

    try:
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(run(call))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
