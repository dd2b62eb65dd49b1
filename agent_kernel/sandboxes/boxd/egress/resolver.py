"""Answers names on 127.0.0.1:53, by UDP and TCP."""

from __future__ import annotations

import selectors
import socket
import struct

from . import dns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from ..loop import Loop
    from .names import NameTable

PORT = 53
ROUND = 32
"""The most packets that are answered at once, so that a flood does not hold up commands."""

MOST_CLIENTS = 16
LONGEST_QUERY = 1024
IDLE = 10.0
"""Seconds after which a TCP client is closed, however much it asks."""


class Resolver:
    """Answers queries on a UDP socket and on a listening TCP socket."""

    def __init__(
        self, loop: Loop, names: NameTable, packets: socket.socket, listening: socket.socket
    ) -> None:
        self._loop = loop
        self._names = names
        self._packets = packets
        self._listening = listening
        self._clients: set[_Client] = set()
        for each in (packets, listening):
            each.setblocking(False)
        loop.watch(packets.fileno(), selectors.EVENT_READ, lambda mask: self._answer())
        loop.watch(listening.fileno(), selectors.EVENT_READ, lambda mask: self._accept())

    def _answer(self) -> None:
        for _ in range(ROUND):
            try:
                query, sender = self._packets.recvfrom(LONGEST_QUERY)
                answer = dns.answer(query, self._names)
                if answer is not None:
                    self._packets.sendto(answer, sender)
            except OSError:  # nothing more to read, or the program has gone: it would ask again
                return

    def _accept(self) -> None:
        try:
            connected = self._listening.accept()[0]
        except OSError:  # it has gone, or there are no descriptors left: it would ask again
            return
        if len(self._clients) >= MOST_CLIENTS:
            connected.close()
            return
        self._clients.add(_Client(self._loop, self._names, connected, self._clients.discard))


class _Client:
    """A program that asks by TCP: each message after its length, as many as it likes."""

    def __init__(
        self, loop: Loop, names: NameTable, connected: socket.socket, closed: Callable[[_Client], None]
    ) -> None:
        self._loop = loop
        self._names = names
        self._socket = connected
        self._closed = closed
        self._received = b""
        connected.setblocking(False)
        self._expiry = loop.after(IDLE, self._close)
        loop.watch(connected.fileno(), selectors.EVENT_READ, lambda mask: self._ready())

    def _ready(self) -> None:
        try:
            piece = self._socket.recv(LONGEST_QUERY)
            self._received += piece
            if not piece or not self._answer():
                self._close()
        except OSError:  # it has gone, or does not read the answers
            self._close()

    def _answer(self) -> bool:
        """Answer every whole message, and return whether the client may go on."""
        while len(self._received) >= 2:
            (length,) = struct.unpack_from("!H", self._received)
            if length > LONGEST_QUERY:
                return False
            if len(self._received) < 2 + length:
                break
            query, self._received = self._received[2 : 2 + length], self._received[2 + length :]
            answer = dns.answer(query, self._names)
            if answer is None:
                return False
            message = struct.pack("!H", len(answer)) + answer
            if self._socket.send(message) < len(message):
                return False
        return True

    def _close(self) -> None:
        self._expiry.cancel()
        self._loop.watch(self._socket.fileno(), 0, None)
        self._socket.close()
        self._closed(self)
