"""Carry the bytes of one connection between a sandbox and a server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from agent_kernel.egress.gate import Gate

PIECE = 64 << 10
"""Bytes that are read at once. A connection holds about twice as many in each direction."""

_DRAIN_SECONDS = 2.0


class InsideStream(Protocol):
    """The sandbox's end of a connection: the part of `EgressStream` that a relay needs."""

    async def read(self, limit: int) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def write_eof(self) -> None: ...


Count = Callable[[int, int], None]
"""Counts `(sent, received)` bytes before they are passed on; what it raises ends the connection."""


class Relay:
    """A connection of `stream` to a server.

    Each direction ends by itself (half-close). A reader that is slow pauses the writer at the other end.
    """

    def __init__(
        self, stream: InsideStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._stream = stream
        self._reader = reader
        self._writer = writer
        self._received_all = False

    async def run(self, gate: Gate, count: Count) -> None:
        """Carry bytes until both directions have ended.

        `gate` sees what the sandbox sends. Raises what it and `count` raise, and `OSError` when the server
        breaks the connection. The server's connection is closed at the end, at once if this is cancelled.
        """
        tasks = [asyncio.create_task(self._send(gate, count)), asyncio.create_task(self._receive(count))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        except BaseException:
            self._writer.transport.abort()
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._writer.close()

    async def _send(self, gate: Gate, count: Count) -> None:
        try:
            while data := await self._stream.read(PIECE):
                await self._forward(gate.feed(data), count)
            await self._forward(gate.end(), count)
            if self._writer.can_write_eof():
                self._writer.write_eof()
        except OSError:
            if not self._received_all:  # otherwise the server is done, and takes not even TLS's goodbye
                raise

    async def _forward(self, data: bytes, count: Count) -> None:
        if data:
            count(len(data), 0)
            self._writer.write(data)
            await self._writer.drain()

    async def _receive(self, count: Count) -> None:
        while data := await self._reader.read(PIECE):
            count(0, len(data))
            await self._stream.write(data)
        self._received_all = True
        await self._stream.write_eof()


async def say_goodbye(stream: InsideStream, answer: bytes) -> None:
    """Send a last answer to the program inside, and let it read the answer before the connection closes.

    What the program still sends is read and dropped, because closing a socket with unread data would discard
    the answer. This takes at most two seconds.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            await stream.write(answer)
            await stream.write_eof()
            while await stream.read(PIECE):
                pass
