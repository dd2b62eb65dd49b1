"""A connected socket as a byte stream to boxd."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from agent_kernel.errors import SandboxUnreachable

_SEND_BUFFER = 1 << 20
"""Bytes; the kernel gives less where it allows less."""


class SocketStream:
    """`ByteStream` over a connected stream socket; made by `open`."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_end: Callable[[], Awaitable[None]],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_end = on_end
        self._closed = False

    @classmethod
    async def open(cls, connected: socket.socket, on_end: Callable[[], Awaitable[None]]) -> SocketStream:
        """Take over a connected socket. `on_end` may raise to report that the sandbox lives on."""
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        reader, writer = await asyncio.open_connection(sock=connected, limit=1 << 18)
        return cls(reader, writer, on_end)

    async def read(self, limit: int) -> bytes:
        """See `ByteStream.read`. A reset counts as the end; after `aclose` it is no news of the sandbox."""
        try:
            received = await self._reader.read(limit)
        except ConnectionError:
            received = b""
        if not received and not self._closed:
            await self._on_end()
        return received

    async def write(self, data: bytes | memoryview) -> None:
        """See `ByteStream.write`."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError as error:
            raise SandboxUnreachable("The stream to the sandbox broke off.") from error

    async def aclose(self) -> None:
        """See `ByteStream.aclose`."""
        self._closed = True
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return  # the other side has closed it first
