"""A program's connection on its way: bytes between its socket and the channel to the host."""

from __future__ import annotations

import time

from .. import wire
from ..tunnel import Tunnel
from . import ends

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any, Callable, Protocol

    from ..handler import BoxChannel
    from ..loop import Loop, Timer

    class Owner(Protocol):
        """Counts what holds programs' sockets."""

        looks: ends.Looks

        def release(self, holder: object) -> None:
            """Count it no more."""

        def refuse(self, connected: socket.socket, words: bytes) -> None:
            """End a connection with a refusal, or with a reset if there are no words."""

        def linger(self, connected: socket.socket, words: bytes) -> None:
            """Close a connection after its last words, when the program has read them."""


FIRST_LOOK = 0.02
LAST_LOOK = 1.0
DELIVERY = 5.0
"""Seconds that the host has to deliver what a program sent before it ended; progress begins them anew."""


class Reply:
    """What a program is told: `accepted` when the host has connected, else `refused(code, text)`.

    After an empty refusal the connection is reset.
    """

    def __init__(self, accepted: bytes, refused: Callable[[str, str], bytes]) -> None:
        self.accepted = accepted
        self.refused = refused


class Carried(Tunnel):
    """Carries one connection of a program. Call `begin` once it is the channel's handler."""

    def __init__(
        self,
        loop: Loop,
        channel: BoxChannel,
        connected: socket.socket,
        reply: Reply,
        owner: Owner,
    ) -> None:
        self._reply = reply
        self._owner = owner
        self._body: int | None = None
        self._accepted = False
        self._last = False
        self._linger = False
        self._sent_all = False
        self._look: Timer | None = None
        self._credited = 0.0
        super().__init__(loop, channel, connected)

    def begin(self, first: bytes, body: int | None) -> None:
        """Send what the program has sent already. If `body` is given, it may send only so many bytes more.

        The rest belongs to another request.
        """
        self._body = body
        if first:
            self._channel.data(wire.CONTENT, first)
        self._watch()

    def on_event(self, value: dict[str, Any]) -> None:
        """Tell the program that the host has connected."""
        if self._open and not self._accepted:
            self._accepted = True
            self._pending[:0] = self._reply.accepted
            self._watch()

    def on_credit(self) -> None:
        """Go on reading: the host has delivered something."""
        self._credited = time.monotonic()
        super().on_credit()

    def on_error(self, value: dict[str, Any]) -> None:
        """Tell the program why there is no connection, or break the one that there is."""
        if self._open:
            self._let_go()
            code, text = str(value.get("code")), str(value.get("message"))
            self._owner.refuse(self._socket, b"" if self._accepted else self._reply.refused(code, text))

    def on_lost(self) -> None:
        """Break the connection: the host is gone."""
        self.on_error({"code": "lost", "message": "the host is gone"})

    def on_result(self, value: dict[str, Any]) -> None:
        """Close the socket after what is queued: the host has finished the connection."""
        if not self._open:
            return
        self._last = True
        self._linger = self._linger or self._reading
        self._reading = False
        if self._pending:
            self._watch()
        else:
            self._leave()

    def _write(self) -> None:
        super()._write()
        if self._last and not self._pending:
            self._leave()

    def _leave(self) -> None:
        """Close the socket after its last byte. A program that still sends must be able to read that byte."""
        if self._open and self._linger:
            self._let_go()
            self._owner.linger(self._socket, b"")
        else:
            self.close()

    def _read(self) -> None:
        if self._body is None:
            super()._read()
        elif self._body:
            room = min(wire.CHUNK, self._channel.room, self._body)
            piece = self._socket.recv(room) if room else b""
            self._body -= len(piece)
            if piece:
                self._channel.data(wire.CONTENT, piece)
            elif room:
                self._stop_reading()
        else:  # the end of the program's data, or another request
            self._reading = False
            self._linger = True  # what it still sends is dropped
            self._finish()

    def _stop_reading(self) -> None:
        self._reading = False
        self._end_request()
        self._finish()

    def _end_request(self) -> None:
        """Tell the host, once, that the program sends nothing more."""
        if not self._sent_all:
            self._sent_all = True
            self._channel.eof()

    def _finish(self) -> None:
        """Close a connection whose directions have both ended. Watch a program that has ended its own.

        A server that has answered a whole request ends both, although the program may keep its end for
        another one. The host then ends the connection.
        """
        if not self._open:
            return
        if self._body == 0 and not self._writing:
            self._end_request()
        elif not self._reading and self._writing:
            self._watch_program()
        elif not self._reading:
            self.close()

    def _watch_program(self) -> None:
        if self._look is None:
            self._credited = time.monotonic()
            self._look = self._loop.after(FIRST_LOOK, lambda: self._check_program(FIRST_LOOK))

    def _check_program(self, pause: float) -> None:
        """Give the connection up if its program has ended, and the host has delivered what it sent."""
        # A table from before the last look would say nothing new.
        if time.monotonic() - self._credited >= DELIVERY and ends.is_left(
            self._socket, self._owner.looks.table(pause)
        ):
            self.abandon()
            return
        later = min(2 * pause, LAST_LOOK)
        self._look = self._loop.after(later, lambda: self._check_program(later))

    def check_killed(self, table: ends.Table) -> None:
        """Give the connection up if its program is gone: a command was killed just now."""
        if self._open and ends.is_left(self._socket, table):
            self.abandon()

    def abandon(self) -> None:
        """Close the socket, and ask the host to end the connection. Idempotent."""
        if self._open:
            self.close()
            if not self._last:
                self._channel.cancel()

    def _let_go(self) -> None:
        super()._let_go()
        if self._look is not None:
            self._look.cancel()
        self._owner.release(self)
