"""Emits a turn's events: stores each, then hands it to the reader, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from openai.types.responses import ResponseStreamEvent

from agent_kernel.runtime.turns.channel import EventChannel
from agent_kernel.runtime.turns.turn import Turn


class Emitter:
    """The `emit` of one turn. Several calls of the turn may use it at the same time.

    Call it with the assembler's events as they are made, with no `await` between: then events go out in the
    order of their numbers. Cancelling it loses nothing: what was not handed over yet goes out with the next
    events, or with the last ones. `channel` None: the turn has no reader, so its events are only stored.
    """

    def __init__(self, turn: Turn, channel: EventChannel[ResponseStreamEvent] | None) -> None:
        self._turn = turn
        self._channel = channel
        self._opening: list[ResponseStreamEvent] = []
        self._waiting: list[ResponseStreamEvent] = []
        self._order = asyncio.Lock()

    def open(self, events: Sequence[ResponseStreamEvent], written: asyncio.Future[None]) -> None:
        """Take the turn's first events, and hand them over once its row is written. Others wait until then.

        If the row cannot be written, they go out with the last events.
        """
        self._opening.extend(events)
        written.add_done_callback(self._open)

    def _open(self, written: asyncio.Future[None]) -> None:
        if not written.cancelled() and written.exception() is None:
            self._put_opening()

    def _put_opening(self) -> None:
        events, self._opening = self._opening, []
        self._put(events)

    async def __call__(self, events: Sequence[ResponseStreamEvent]) -> None:
        """Write down and hand over events, then wait for room. Raises what the store does."""
        unwritten = False
        for event in events:
            if self._turn.record.take(self._turn, event):
                unwritten = True
        if unwritten or self._opening or self._waiting or self._order.locked():
            self._waiting.extend(events)
            await self._write()
        else:
            self._put(events)  # the usual case, a delta: nothing to write, and no event before it
        if self._channel is not None and self._channel.is_full:
            await self._channel.wait_for_room()

    def hold(self, events: Sequence[ResponseStreamEvent]) -> None:
        """Take events that go out with the next ones, or with the last ones, which are stored then.

        It spares the store a write for what the turn's end stores anyway.
        """
        for event in events:
            self._turn.record.take(self._turn, event)
        self._waiting.extend(events)

    async def _write(self) -> None:
        async with self._order:  # first come, first served: no later event overtakes the one being written
            batch, self._waiting = self._waiting, []
            try:
                await self._turn.record.begun()
                await self._turn.record.flush(self._turn)
            except asyncio.CancelledError:  # the write completes anyway, and the event goes out later
                self._waiting[:0] = batch
                raise
            self._put_opening()
            self._put(batch)

    def _put(self, events: Sequence[ResponseStreamEvent]) -> None:
        if self._channel is not None:
            self._channel.put(events)

    def end(self, last: Sequence[ResponseStreamEvent]) -> None:
        """Hand over the last events, which are already stored."""
        self._put_opening()
        events, self._waiting = self._waiting, []
        self._put([*events, *last])
