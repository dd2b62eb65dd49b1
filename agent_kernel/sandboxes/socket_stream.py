"""A connected UNIX socket as a byte stream to boxd, which can give the host descriptors with its frames."""

from __future__ import annotations

import array
import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable

from agent_kernel.errors import SandboxUnreachable
from agent_kernel.sandboxes.near.descriptors import Descriptors
from agent_kernel.sandboxes.near.waiting import tell

_SEND_BUFFER = 1 << 20
"""Bytes; the kernel gives less where it allows less."""

_WAITING = 64 << 10
"""Bytes that may wait to be sent; a write that leaves more returns when they are gone."""

_LEAST = 16 << 10
"""Bytes that are received at once while few come: the C library asks the kernel for each large buffer."""

Hook = Callable[[], Awaitable[None]]

_SPACE = socket.CMSG_SPACE(4 * struct.calcsize("i"))


class SocketStream:
    """`ByteStream` over a connected UNIX socket; made by `open`. One task reads, and one writes at a time."""

    def __init__(self, connected: socket.socket, on_end: Hook, on_close: Hook | None) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._fd = connected.fileno()
        self._on_end = on_end
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self.descriptors = Descriptors()
        self._out = bytearray()
        self._sent = asyncio.Event()
        self._reading: asyncio.Future[None] | None = None
        self._broken = False
        self._closed = False
        self._most = _LEAST

    @classmethod
    async def open(cls, connected: socket.socket, on_end: Hook, on_close: Hook | None = None) -> SocketStream:
        """Take over a connected socket. `on_end` may raise to report that the sandbox lives on.

        `on_close` is awaited when the stream was closed.
        """
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        return cls(connected, on_end, on_close)

    async def read(self, limit: int) -> bytes:
        """See `ByteStream.read`. A reset counts as the end; after `aclose` it is not news of the sandbox.

        Raises `ChannelBroken` for descriptors that belong to nothing.
        """
        received: bytes | None = b""
        while not self._closed and (received := self._receive(limit)) is None:
            await self._reads(tell)
        if not received:
            await self._end()
        return received or b""

    async def take_all(self, take: Callable[[bytes], None], limit: int) -> None:
        """Call `take` with bytes as they come, up to `limit` at once, and return at the end, as `read` does.

        It costs less than a `read` for each piece. Raises as `read`, and what `take` raises.
        """

        def pass_on(told: asyncio.Future[None]) -> None:
            try:
                received = self._receive(limit)
                if received:
                    take(received)
                elif received is not None:
                    tell(told)
            except Exception as error:  # noqa: BLE001 (raised below)
                if not told.done():
                    told.set_exception(error)
                self._loop.remove_reader(self._fd)

        if not self._closed:
            await self._reads(pass_on)
        await self._end()

    def _receive(self, limit: int) -> bytes | None:
        """Return what has come: `b""` is the end, None nothing yet. Raises `ChannelBroken`."""
        most = min(limit, self._most)
        try:
            received, ancillary, flags, _ = self._socket.recvmsg(most, _SPACE, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except ConnectionError:
            return b""
        self._most = min(4 * most, limit) if len(received) == most else _LEAST
        if ancillary or flags & socket.MSG_CTRUNC:
            self.descriptors.keep([data for level, kind, data in ancillary if kind == socket.SCM_RIGHTS])
        return received

    async def _reads(self, told: Callable[[asyncio.Future[None]], None]) -> None:
        """Call `told` with a future whenever bytes have come, until it is done, or until `aclose`."""
        self._reading = done = self._loop.create_future()
        self._loop.add_reader(self._fd, told, done)
        try:
            await done
        finally:
            self._reading = None
            if not self._closed:
                self._loop.remove_reader(self._fd)

    async def _end(self) -> None:
        """Report the end of the stream, unless it was closed here."""
        if not self._closed:
            try:
                await self._on_end()
            finally:
                await self.aclose()  # nobody may do it for a stream that has ended

    async def write(self, data: bytes | memoryview) -> None:
        """See `ByteStream.write`. After a cancellation the rest is sent nevertheless: frames stay whole."""
        self._check()
        self._put(data)
        while len(self._out) > _WAITING:
            self._sent.clear()
            await self._sent.wait()
            self._check()

    def put(self, data: bytes) -> bool:
        """Send a whole frame without a wait. Return False, and send nothing, if too much waits already."""
        if self._closed or self._broken or len(self._out) > _WAITING:
            return False
        try:
            self._put(data)
        except SandboxUnreachable:  # the reader is about to learn why
            return False
        return True

    def _put(self, data: bytes | memoryview) -> None:
        """Send what the socket takes now, and keep the rest. Raises `SandboxUnreachable`."""
        if not self._out:
            sent = self._send(data)
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
            self._loop.add_writer(self._fd, self._flush)
        self._out += data

    def give(self, data: bytes, fd: int) -> bool:
        """Send a frame with a copy of a descriptor. False: something waits to be sent before, so nothing was.

        Raises `SandboxUnreachable`.
        """
        self._check()
        if self._out:
            return False
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        try:
            sent = self._socket.sendmsg([data], rights, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError as error:
            self._broken = True
            raise self._unreachable() from error
        if sent < len(data):
            self._out += data[sent:]
            self._loop.add_writer(self._fd, self._flush)
        return True

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        """Send what the socket takes now. Raises `SandboxUnreachable`."""
        try:
            return self._socket.send(data, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._broken = True
            raise self._unreachable() from error

    def _flush(self) -> None:
        try:
            del self._out[: self._send(self._out)]
        except SandboxUnreachable:  # the next write reports it
            self._out.clear()
        if not self._out:
            self._loop.remove_writer(self._fd)
        if len(self._out) <= _WAITING:
            self._sent.set()

    def _check(self) -> None:
        if self._closed or self._broken:
            raise self._unreachable()

    @staticmethod
    def _unreachable() -> SandboxUnreachable:
        return SandboxUnreachable("The stream to the sandbox broke off.")

    async def aclose(self) -> None:
        """See `ByteStream.aclose`."""
        if self._closed:
            return
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        with contextlib.suppress(SandboxUnreachable):
            self._send(self._out)
        self._closed = True
        self._socket.close()
        self.descriptors.close_kept()
        self._sent.set()
        if self._reading is not None:
            tell(self._reading)
        if self._on_close is not None:
            await self._on_close()
