"""A connection out of a sandbox on the program's own socket, which boxd has given to the host.

The socket is still the sandbox's as well: it may change its options at any time. So each call says itself
that it must not wait (`NOW`), and nothing relies on the mode of the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.egress import EgressStream
from agent_kernel.sandboxes.near.waiting import readable, writable

NOW = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
"""Flags of every call on a socket that somebody else may change."""

_TCP = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
_KIND: tuple[int, ...] = ()
if hasattr(socket, "SO_DOMAIN"):  # nothing is handed over on other systems
    _KIND = (socket.SO_DOMAIN, socket.SO_TYPE, socket.SO_PROTOCOL, socket.SO_ACCEPTCONN)

MOST_REPLY = 200
_ROOM = 256 << 10


def take_over(fd: int) -> socket.socket:
    """Return the socket of a descriptor from a sandbox.

    Raises `WireError` unless it is a TCP connection; the descriptor stays open then.
    """
    try:
        connected = socket.socket(*_TCP, fileno=fd)  # Python asks for nothing that it is told
    except OSError:
        raise wire.WireError("a descriptor that is not a socket") from None
    kind = tuple([connected.getsockopt(socket.SOL_SOCKET, option) for option in _KIND])
    if kind != (*_TCP, 0):
        connected.detach()
        raise wire.WireError("a socket that is not a TCP connection")
    return connected


def _nobody() -> None:
    """Nobody serves it yet."""


class ProgramSocket(EgressStream):
    """See `EgressStream`. The program gets `reply` when it is connected.

    `close` closes the socket's descriptor, without a wait. `left` is called when the program breaks the
    connection, and has to cancel the task that serves it.
    """

    def __init__(
        self,
        number: int,
        connected: socket.socket,
        reply: bytes,
        close: Callable[[int], None],
    ) -> None:
        self.number = number  # and no more of a stream: no frame carries its bytes
        self.socket = connected
        self.ended = False
        """Whether the program has ended its direction."""
        self.left: Callable[[], None] = _nobody
        self._reply = reply
        self._close = close
        self._accepted = False

    @property
    def replied(self) -> bool:
        """Whether the program has been told that it is connected, before it sends more."""
        return self._accepted and bool(self._reply)

    async def accept(self) -> None:
        """See `EgressStream.accept`. boxd learns it with the answer."""
        self._accepted = True
        await self.write(self._reply)

    async def read(self, limit: int) -> bytes:
        """See `EgressStream.read`."""
        while True:
            try:
                data = self.socket.recv(limit, NOW)
            except BlockingIOError:
                await readable(self.socket)
            except OSError:
                await self._leave()
            else:
                self.ended = not data
                return data

    async def write(self, data: wire.Bytes) -> None:
        """See `EgressStream.write`."""
        view = memoryview(data)
        while view:
            try:
                view = view[self.socket.send(view, NOW) :]
            except BlockingIOError:
                await writable(self.socket)
            except OSError:
                await self._leave()

    async def room(self) -> int:
        """Return how many bytes are worth sending at once."""
        return _ROOM

    async def write_frame(self, frame: memoryview) -> None:
        """See `EgressStream.write_frame`."""
        await self.write(frame[wire.DATA_HEAD :])

    async def write_eof(self) -> None:
        """See `EgressStream.write_eof`."""
        self.shut()

    def shut(self) -> None:
        """Send no more data. A program that is gone is told nothing."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    async def _leave(self) -> None:
        self.left()
        await asyncio.get_running_loop().create_future()

    def receive(self, kind: int, payload: bytes) -> None:
        """Refuse what belongs to a connection through boxd. Raises `WireError`."""
        raise wire.WireError(f"a frame of kind {kind} on a connection that was handed over")

    def let_go(self) -> dict[str, Any]:
        """Close this end; boxd ends the connection. Return what it has to know. Idempotent."""
        if self.socket.fileno() >= 0:
            self._close(self.socket.detach())
        return {"accepted": self._accepted, "ended": self.ended}
