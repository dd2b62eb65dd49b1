"""Connections out of the sandbox: a socket inside, carried by a channel to a host that connects it."""

from __future__ import annotations

import contextlib
import selectors
import socket

from . import wire
from .handler import BoxHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .connection import HostConnection
    from .handler import BoxChannel
    from .loop import Loop


class Tunnel(BoxHandler):
    """Carries bytes between a channel and a connected socket, in both directions, until both have ended.

    Each direction ends by itself (half-close). A socket that fails ends the call, and a call that fails
    closes the socket. A slow reader at one end pauses the writer at the other.
    """

    def __init__(self, loop: Loop, channel: BoxChannel, connected: socket.socket) -> None:
        self._loop = loop
        self._channel = channel
        self._socket = connected
        self._pending = bytearray()
        self._reading = True  # until the socket has nothing more to send
        self._writing = True  # until the host has nothing more to send, and all of it is written
        self._ended = False  # the host has nothing more to send
        self._open = True
        connected.setblocking(False)
        self._watch()

    def _watch(self) -> None:
        mask = selectors.EVENT_READ if self._reading and self._channel.room else 0
        mask |= selectors.EVENT_WRITE if self._pending else 0
        self._loop.watch(self._socket.fileno(), mask, self._ready)

    def _ready(self, mask: int) -> None:
        try:
            if self._open and mask & selectors.EVENT_WRITE:
                self._write()
            if self._open and mask & selectors.EVENT_READ:
                self._read()
        except BlockingIOError:
            pass
        except OSError as error:  # the program at the other end has closed the socket
            if self._channel.ours:
                self.close()
                self._channel.cancel()
            else:
                self.fail("os", error.strerror or str(error))
        if self._open:
            self._watch()

    def _read(self) -> None:
        room = min(wire.CHUNK, self._channel.room)
        payload = self._socket.recv(room) if room else b""
        if payload:
            self._channel.data(wire.CONTENT, payload)
        elif room:
            self._reading = False
            self._channel.eof()
            self._finish()

    def _write(self) -> None:
        written = self._socket.send(self._pending)
        del self._pending[:written]
        self._channel.took(written)
        self._end_writing()

    def _end_writing(self) -> None:
        if self._ended and self._writing and not self._pending:
            self._writing = False
            with contextlib.suppress(OSError):  # it has already closed its end: reading shows that
                self._socket.shutdown(socket.SHUT_WR)
            self._finish()

    def _finish(self) -> None:
        """Answer the host's call, if both directions have ended. A call of ours is answered by the host."""
        if not self._channel.ours and not self._reading and not self._writing:
            self.close()
            self._channel.result({})

    def on_data(self, stream: int, payload: wire.Bytes) -> None:
        """Queue what the host sent; its credit returns when the socket has taken it."""
        if self._ended:
            raise wire.WireError("data after the end")
        if not self._open:
            return
        self._channel.took(wire.FRAME_COST)
        if self._pending:
            self._pending += payload
        else:
            self._write_now(payload)

    def _write_now(self, payload: wire.Bytes) -> None:
        """Write what the socket takes, and queue the rest."""
        try:
            written = self._socket.send(payload)
        except OSError:  # it takes nothing now, or the program has gone: the loop reports that
            written = 0
        if written < len(payload):
            self._pending += payload[written:]
            self._watch()
        if written:
            self._channel.took(written)

    def on_eof(self) -> None:
        """End this direction when what is queued has been written."""
        if self._ended:
            raise wire.WireError("a second end of the data")
        self._ended = True
        if self._open:
            self._end_writing()

    def on_credit(self) -> None:
        """Go on reading."""
        if self._open:
            self._watch()

    def on_result(self, value: dict[str, Any]) -> None:
        """Close the socket after what is queued: the host has finished the connection."""
        if self._open and self._pending:
            self._let_go()
            _Rest(self._loop, self._socket, bytes(self._pending))
        self.close()

    def on_error(self, value: dict[str, Any]) -> None:
        """Close the socket."""
        self.close()

    def fail(self, code: str, text: str) -> None:
        """Answer the host's call with an error, unless it has ended."""
        if self._open:
            self.close()
            self._channel.error(code, text)

    def close(self) -> None:
        """Close the socket. Idempotent."""
        if self._open:
            self._let_go()
            self._socket.close()

    def _let_go(self) -> None:
        """Leave the open socket to its next owner."""
        self._open = False
        self._loop.watch(self._socket.fileno(), 0, None)

    def on_lost(self) -> None:
        """Close the socket: the host is gone."""
        self.close()


class _Rest:
    """Writes the end of a finished connection to its socket, and closes it."""

    def __init__(self, loop: Loop, connected: socket.socket, rest: bytes) -> None:
        self._loop = loop
        self._socket = connected
        self._rest = rest
        loop.watch(connected.fileno(), selectors.EVENT_WRITE, self._ready)

    def _ready(self, mask: int) -> None:
        try:
            self._rest = self._rest[self._socket.send(self._rest) :]
        except BlockingIOError:
            return
        except OSError:  # the program inside is gone: nothing is left to write to
            self._rest = b""
        if not self._rest:
            self._loop.watch(self._socket.fileno(), 0, None)
            self._socket.close()


class Outgoing(Tunnel):
    """A connection that the host is asked to make, for a program inside at the other end of a socket.

    `accepted()` is called when the host has connected, `refused(code, text)` if it does not.
    """

    def __init__(
        self,
        loop: Loop,
        channel: BoxChannel,
        connected: socket.socket,
        accepted: Callable[[], None],
        refused: Callable[[str, str], None],
    ) -> None:
        super().__init__(loop, channel, connected)
        self._accepted = accepted
        self._refused = refused
        self._answered = False

    def on_event(self, value: dict[str, Any]) -> None:
        """The host has connected."""
        if not self._answered:
            self._answered = True
            self._accepted()

    def on_error(self, value: dict[str, Any]) -> None:
        """Report a refusal, or the end of a connection."""
        self.close()
        if not self._answered:
            self._answered = True
            self._refused(str(value.get("code")), str(value.get("message")))

    def on_lost(self) -> None:
        """Report that there is no answer: the host is gone."""
        self.on_error({"code": "lost", "message": "the host is gone"})


def connect(
    loop: Loop,
    host: HostConnection | None,
    target: tuple[str, int],
    connected: socket.socket,
    accepted: Callable[[], None],
    refused: Callable[[str, str], None],
) -> None:
    """Ask a host to connect `connected` to a target (name, port). It closes the socket at the end."""
    channel = host and host.open(wire.CONNECT, {"name": target[0], "port": target[1]})
    if not channel:
        connected.close()
        refused("denied", "no host connects this sandbox" if host is None else "too many connections")
        return
    channel.handler = Outgoing(loop, channel, connected, accepted, refused)
