"""A program's input and output in a pod as a byte stream: `pods/exec` over a WebSocket.

Each message begins with the number of its channel. See the source of `remotecommand` in k8s.io/apimachinery.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from agent_kernel.errors import SandboxUnreachable

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

_STDIN, _STDOUT, _STDERR, _STATUS = range(4)
_PIECE = 32 * 1024
"""Bytes of a message. The server reads each as a whole."""
_COMPLAINT = 4 * 1024


class ExecStream:
    """A `ByteStream` on a program in a pod. Its stderr, and how it ended, become `complaint`."""

    def __init__(self, socket: ClientWebSocketResponse, on_end: Callable[[], Awaitable[None]]) -> None:
        self._socket = socket
        self._on_end = on_end
        self._left = b""
        self._complaint = b""
        self._closed = False

    @property
    def complaint(self) -> str:
        """What the program wrote to stderr, and its exit status unless it succeeded: the last 4 KiB."""
        return self._complaint.decode(errors="replace").strip()

    async def read(self, limit: int) -> bytes:
        """See `ByteStream.read`. Raises what `on_end` raises when the stream has ended."""
        while not self._left:
            piece = await self._receive()
            if piece is None:
                if not self._closed:
                    await self._on_end()
                return b""
            self._left = piece
        data, self._left = self._left[:limit], self._left[limit:]
        return data

    async def _receive(self) -> bytes | None:
        """Return the next piece of output, perhaps empty; None at the end."""
        from aiohttp import WSMsgType

        message = await self._socket.receive()
        if message.type is WSMsgType.TEXT:
            content = message.data.encode()
        elif message.type is WSMsgType.BINARY:
            content = message.data
        else:
            return None
        channel, data = content[:1], content[1:]
        if channel == bytes([_STDOUT]):
            return bytes(data)
        if channel in (bytes([_STDERR]), bytes([_STATUS])) and b'"Success"' not in data:
            self._complaint = (self._complaint + data)[-_COMPLAINT:]
        return b""

    async def write(self, data: bytes | memoryview) -> None:
        """See `ByteStream.write`."""
        view = memoryview(data)
        try:
            for start in range(0, len(view), _PIECE):
                await self._socket.send_bytes(bytes([_STDIN]) + view[start : start + _PIECE])
        except OSError as error:
            raise SandboxUnreachable(f"The connection to the Kubernetes API broke ({error}).") from error
        if self._socket.closed:
            raise SandboxUnreachable("The stream into the sandbox is closed.")

    async def aclose(self) -> None:
        """Close the connection; the program ends. Idempotent."""
        self._closed = True
        await self._socket.close()
