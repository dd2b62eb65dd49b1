"""A program's connection that the host carries itself, on the socket that it was given."""

from __future__ import annotations

import fcntl
import struct
import termios
import time

from ..handler import BoxHandler
from . import ends
from .carried import DELIVERY, LAST_LOOK

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from ..handler import BoxChannel
    from ..loop import Loop
    from .carried import Owner, Reply


class HandedOver(BoxHandler):
    """Watches over one connection: no byte of it comes here, but the host cannot see that its program ends.

    The socket stays open here too, so that the program can be told why there is no connection.
    """

    def __init__(
        self, loop: Loop, channel: BoxChannel, connected: socket.socket, reply: Reply, owner: Owner
    ) -> None:
        self._loop = loop
        self._channel = channel
        self._socket = connected
        self._reply = reply
        self._owner = owner
        self._open = True
        self._left = 0.0
        self._unread = -1
        self._look = loop.after(LAST_LOOK, self._check_program)

    def on_error(self, value: dict[str, Any]) -> None:
        """Tell the program why there is no connection, or break the one that there is."""
        if self._open:
            self._let_go()
            code, text = str(value.get("code")), str(value.get("message"))
            begun = value.get("accepted") is True
            self._owner.refuse(self._socket, b"" if begun else self._reply.refused(code, text))

    def on_lost(self) -> None:
        """Break the connection: the host is gone, and how far it came is not known."""
        self.on_error({"accepted": True})

    def on_result(self, value: dict[str, Any]) -> None:
        """Close the socket: the host has finished. A program that still sends can read the last byte."""
        if value.get("ended") is True:
            self._close()
        elif self._open:
            self._let_go()
            self._owner.linger(self._socket, b"")

    def _check_program(self) -> None:
        """Give the connection up if its program has ended, and the host takes no more of what it sent."""
        if not ends.is_left(self._socket, self._owner.looks.table(LAST_LOOK)):
            self._unread = -1
        elif (unread := _unread(self._socket)) != self._unread:
            self._unread, self._left = unread, time.monotonic()
        elif time.monotonic() - self._left >= DELIVERY:
            self.abandon()
            return
        self._look = self._loop.after(LAST_LOOK, self._check_program)

    def check_killed(self, table: ends.Table) -> None:
        """Give the connection up if its program is gone: a command was killed just now."""
        if self._open and ends.is_left(self._socket, table):
            self.abandon()

    def abandon(self) -> None:
        """Close the socket, and ask the host to end the connection. Idempotent."""
        if self._open:
            self._close()
            self._channel.cancel()

    def _close(self) -> None:
        if self._open:
            self._let_go()
            self._socket.close()

    def _let_go(self) -> None:
        self._open = False
        self._look.cancel()
        self._owner.release(self)


def _unread(connected: socket.socket) -> int:
    """Return how many bytes of the program the host has not taken yet; it shares the socket."""
    try:
        answer = fcntl.ioctl(connected.fileno(), termios.FIONREAD, bytes(4))
    except OSError:  # it was reset
        return 0
    return int(struct.unpack("i", answer)[0])
