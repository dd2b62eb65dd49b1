"""A connected socket as the duplex stream to boxd."""

from __future__ import annotations

import asyncio
import socket

from agent_kernel.errors import SandboxUnreachable


class SocketStream:
    """`ByteStream` over a connected stream socket; made by `open`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, connected: socket.socket) -> SocketStream:
        """Take over a connected socket."""
        return cls(*await asyncio.open_connection(sock=connected, limit=1 << 18))

    async def read(self, limit: int) -> bytes:
        """See `ByteStream.read`; a reset is the end."""
        try:
            return await self._reader.read(limit)
        except ConnectionError:
            return b""

    async def write(self, data: bytes) -> None:
        """See `ByteStream.write`."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError as error:
            raise SandboxUnreachable("The stream to the sandbox broke off.") from error

    async def aclose(self) -> None:
        """See `ByteStream.aclose`."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return  # the other side was faster
