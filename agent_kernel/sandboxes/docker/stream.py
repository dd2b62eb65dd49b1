"""A hijacked connection to a Docker Engine, as an asyncio byte stream.

docker-py hands out a hijacked socket only for blocking use, and without the bytes that its HTTP reader has
already taken. Here asyncio owns the connection, over the transport that docker-py chose.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from agent_kernel.errors import ChannelBroken, SandboxUnreachable
from agent_kernel.sandboxes.docker.address import Address, expect
from agent_kernel.sandboxes.docker.exit_watcher import ContainerEnd

_SEND_BUFFER = 1 << 20  # the kernel gives less where it allows less; TCP finds its own
_AHEAD = 1 << 20  # bytes written ahead of a busy engine, so that it need not wait for this process
_PIECE = 64 * 1024
_COMPLAINT = 4 * 1024  # bytes kept of a program's stderr: its end

_SILENCE = 0.5  # seconds after a container's end in which the rest of its output comes

_STDOUT, _STDERR = 1, 2


async def hijack(address: Address, path: str, body: dict[str, Any] | None) -> DockerStream:
    """POST to `path` and take over the connection.

    `body` is None where the API has none: Podman would hand it to the program as its first input.

    Raises `OSError` if the engine does not answer, and `RequestRefused`. Then, and on cancellation, the
    connection is closed.
    """
    reader, writer = await address.connect()
    try:
        payload = b"" if body is None else json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
            f"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        writer.write(head.encode("ascii") + payload)
        await writer.drain()
        await expect(reader, 101, 200)
        if address.path is not None:
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        writer.transport.set_write_buffer_limits(high=_AHEAD)
    except BaseException:
        writer.close()
        raise
    return DockerStream(reader, writer)


class DockerStream:
    """A `ByteStream` on the stdin and stdout of a program in a container. Its stderr becomes `complaint`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.on_end: Callable[[], Awaitable[None]] | None = None
        """Awaited when the stream has ended. Raises if the sandbox lives on."""
        self.end: ContainerEnd | None = None
        """Watches for the end of the container; closed together with the stream."""
        self.ends_with_complaint = False
        """Whether output on stderr marks the end, although the engine keeps the stream open."""
        self._reader = reader
        self._writer = writer
        self._kind = _STDOUT
        self._left = 0
        self._complaint = b""
        self._reading = False
        self._pieces = 0
        self._unread = b""
        self._closed = False

    @property
    def complaint(self) -> str:
        """The program's output on stderr so far: at most the last 4 KiB."""
        return self._complaint.decode(errors="replace").strip()

    async def read(self, limit: int) -> bytes:
        """Read up to `limit` bytes of stdout, `b""` at the end.

        Raises `SandboxUnreachable` when the connection breaks, or when the program at the other end
        stopped with an error message; `ChannelBroken` when the engine sends something that is not a frame.
        """
        self._reading = True
        try:
            if self._unread:
                data, self._unread = self._unread[:limit], self._unread[limit:]
                return data
            while True:
                self._pieces += 1
                if self._left == 0 and not await self._next_frame():
                    return await self._end()
                data = await self._reader.read(min(limit if self._kind == _STDOUT else _PIECE, self._left))
                self._left -= len(data)
                if not data:
                    return await self._end()
                if self._kind == _STDOUT:
                    return data
                self._complaint = (self._complaint + data)[-_COMPLAINT:]
                if self.ends_with_complaint:
                    return await self._end()
        except SandboxUnreachable:
            raise
        except OSError as error:
            raise SandboxUnreachable(f"The connection to the engine broke ({error}).") from error
        finally:
            self._reading = False

    @property
    def ended(self) -> bool:
        """Whether the connection is known to be closed, with nothing left to read."""
        return self._writer.is_closing() or (self._reader.at_eof() and not self._unread)

    def unread(self, data: bytes) -> None:
        """Put bytes back: the next `read` begins with them."""
        self._unread = data + self._unread

    def follow(self, end: ContainerEnd) -> None:
        """End the stream with the container: some engines keep it open when the runtime was killed."""
        self.end = end
        end.then(lambda: self._end_when_silent(-1))

    def _end_when_silent(self, pieces: int) -> None:
        """Cut the connection when a reader waits and nothing comes. A slow reader still gets all output."""
        if self._writer.is_closing():
            return
        if self._reading and pieces == self._pieces:
            self._writer.transport.abort()
        else:
            asyncio.get_running_loop().call_later(_SILENCE, self._end_when_silent, self._pieces)

    async def _end(self) -> bytes:
        if self._closed:  # by this host: no news of the sandbox
            return b""
        if self.on_end is None:
            if self._complaint:
                raise SandboxUnreachable(f"The stream into the sandbox ended: {self.complaint}")
            return b""
        try:
            await self.on_end()
        except SandboxUnreachable as error:
            raise SandboxUnreachable(f"{error.message} {self.complaint}".strip()) from error
        return b""

    async def _next_frame(self) -> bool:
        """Read a frame's header: kind, three zeros, length in four bytes. Return False at the end."""
        try:
            head = await self._reader.readexactly(8)
        except asyncio.IncompleteReadError:
            return False
        if head[0] not in (_STDOUT, _STDERR) or head[1:4] != b"\0\0\0":
            raise ChannelBroken(f"The engine sent something that is not a stream frame: {head!r}.")
        self._kind = head[0]
        self._left = int.from_bytes(head[4:], "big")
        return True

    async def write(self, data: bytes | memoryview) -> None:
        """Write all of `data` to stdin, waiting while the program does not read."""
        if self._writer.is_closing():
            raise SandboxUnreachable("The stream into the sandbox is closed.")
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise SandboxUnreachable(f"The connection to the engine broke ({error}).") from error

    def write_ahead(self, data: bytes) -> None:
        """Begin to write to a program that has not started yet. Errors are seen by reading."""
        self._writer.write(data)

    async def aclose(self) -> None:
        """Close the connection. Idempotent."""
        self._closed = True
        if self.end is not None:
            await self.end.aclose()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
