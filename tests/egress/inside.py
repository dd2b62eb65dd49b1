"""Programs inside a sandbox, as far as an `Egress` sees them: real sockets, and the frames of boxd."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.egress import Egress, EgressStream

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Program:
    """A program inside that has asked for a connection. `task` ends as the connection does."""

    def __init__(self, egress: Egress, name: str, port: int) -> None:
        self.accepted = asyncio.Event()
        self.held = 0
        """Bytes that the host has sent and the program has not taken: credit bounds them."""
        self._stream = EgressStream(2, self._send)
        self._decoder = wire.Decoder()
        self._credit = wire.Credit()
        self._news = asyncio.Event()
        self.outside, box = socket.socketpair()
        self._box = box
        self.task = asyncio.create_task(self._run(egress, name, port))

    async def _run(self, egress: Egress, name: str, port: int) -> None:
        reader, self._writer = await asyncio.open_connection(sock=self._box)
        pump = asyncio.create_task(self._pump(reader))
        try:
            await egress.connect(name, port, self._stream)
        finally:
            pump.cancel()
            with contextlib.suppress(OSError):
                await self._writer.drain()
            self._writer.close()

    async def _pump(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(1 << 15):
            while self._credit.room < len(data):
                self._news.clear()
                await self._news.wait()
            self._credit.sent(len(data))
            self._frame(wire.data(2, wire.CONTENT, data))
        self._frame(wire.frame(wire.EOF, 2))

    def _frame(self, frame: bytes) -> None:
        self._stream.receive(frame[4], frame[wire.HEADER.size :])

    async def _send(self, data: bytes | memoryview) -> None:
        for kind, _, payload in self._decoder.feed(data):
            if kind == wire.EVENT:
                self.accepted.set()
            elif kind == wire.CREDIT:
                self._credit.allowed(wire.parse_credit(payload))
                self._news.set()
            elif kind == wire.EOF:
                self._writer.write_eof()
            else:
                piece = wire.parse_data(payload)[1]
                self.held += len(piece)
                self._writer.write(piece)
                await self._writer.drain()
                self.held -= len(piece)
                self._frame(wire.credit(2, len(piece) + wire.FRAME_COST))

    async def streams(self) -> Streams:
        """Return the program's end of its connection."""
        return await asyncio.open_connection(sock=self.outside)

    async def ask(self, sent: bytes = b"", *, end: bool = True) -> bytes:
        """Send bytes, and return everything that comes back. Raises what ended the connection."""
        reader, writer = await self.streams()
        with contextlib.suppress(OSError):
            writer.write(sent)
            if end:
                writer.write_eof()
        got = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while data := await reader.read(1 << 16):
                got += data
        writer.close()
        await self.task
        return bytes(got)


@contextlib.asynccontextmanager
async def program(egress: Egress, name: str, port: int) -> AsyncIterator[Program]:
    """Ask for a connection; it is cancelled at the end, as when the program is gone."""
    inside = Program(egress, name, port)
    try:
        async with asyncio.timeout(30):
            yield inside
    finally:
        inside.task.cancel()
        await asyncio.gather(inside.task, return_exceptions=True)
        inside.outside.close()
