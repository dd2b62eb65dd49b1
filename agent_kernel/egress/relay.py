"""Carry the bytes of one connection between a sandbox and a server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Protocol

from agent_kernel.egress.gate import Gate
from agent_kernel.egress.pump import Pump
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.near.program_socket import ProgramSocket
from agent_kernel.sandboxes.near.waiting import readable

PIECE = 64 << 10
"""Bytes of the sandbox that are read at once."""

RECEIVED, LARGEST, LEAST = 16 << 20, 256 << 10, 32 << 10
"""Bytes of servers that are held at once by all connections, and at most and at least by one of them."""

_DRAIN_SECONDS = 2.0


class InsideStream(Protocol):
    """The sandbox's end of a connection: the part of `EgressStream` that a relay needs."""

    async def read(self, limit: int) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def write_eof(self) -> None: ...

    async def room(self) -> int: ...

    async def write_frame(self, frame: memoryview) -> None: ...


Count = Callable[[int, int], None]
"""Counts `(sent, received)` bytes before they are passed on; what it raises ends the connection."""


class Relay:
    """A connection of `stream` to a server at the other end of `connected`, a non-blocking socket.

    Each direction ends by itself (half-close). A reader that is slow pauses the writer at the other end.
    """

    _running = 0

    def __init__(self, stream: InsideStream, connected: socket.socket) -> None:
        self._stream = stream
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._received_all = False

    async def run(self, gate: Gate, count: Count) -> None:
        """Carry bytes until both directions have ended.

        `gate` sees what the sandbox sends. Raises what it and `count` raise, and `OSError` when the server
        breaks the connection. The socket is closed at the end.
        """
        Relay._running += 1
        tasks = [asyncio.create_task(self._send(gate, count)), asyncio.create_task(self._receive(count))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            try:
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                Relay._running -= 1
                self._socket.close()

    async def _send(self, gate: Gate, count: Count) -> None:
        try:
            while data := await self._stream.read(PIECE):
                await self._forward(gate.feed(data), count)
            await self._forward(gate.end(), count)
            with contextlib.suppress(OSError):  # it is broken already, which reading reports
                self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            if not self._received_all:  # otherwise the server is done, and takes not even TLS's goodbye
                raise

    async def _forward(self, data: bytes, count: Count) -> None:
        if data:
            count(len(data), 0)
            await self._loop.sock_sendall(self._socket, data)

    async def _receive(self, count: Count) -> None:
        while True:
            size = min(await self._stream.room(), LARGEST, max(LEAST, RECEIVED // Relay._running))
            frame = memoryview(bytearray(wire.DATA_HEAD + size))
            try:
                received = self._socket.recv_into(frame[wire.DATA_HEAD :])
            except BlockingIOError:
                del frame  # an idle connection holds no memory
                await readable(self._socket)
                continue
            if not received:
                break
            count(0, received)
            await self._stream.write_frame(frame[: wire.DATA_HEAD + received])
        self._received_all = True
        await self._stream.write_eof()


async def carry(stream: InsideStream, connected: socket.socket, gate: Gate, count: Count) -> None:
    """Carry the bytes of a connection until both directions have ended; see `Relay.run` and `Pump.run`."""
    if isinstance(stream, ProgramSocket):
        await Pump(stream, connected, gate, count).run()
    else:
        await Relay(stream, connected).run(gate, count)


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
