"""The proxy inside: HTTP (CONNECT, and requests for http:// addresses) and SOCKS5 on the same port."""

from __future__ import annotations

import contextlib
import selectors
import socket

from . import requests
from .carried import Reply
from .requests import BadProxyRequest, page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..loop import Loop, Timer
    from .connections import Connections
    from .names import NameTable

__all__ = ["Proxy", "page"]

REQUEST_SECONDS = 30.0
"""Seconds in which a program must say what it wants."""

SILENT_SECONDS = 1
"""Seconds that the kernel keeps a connection without a first byte to itself, so that boxd is woken once."""

FIRST = 4096
"""Bytes that are read of a new connection at first."""

_CONNECTED = Reply(requests.ESTABLISHED, page)


class Proxy:
    """Serves the proxy's listening socket."""

    def __init__(
        self, loop: Loop, connections: Connections, names: NameTable, listening: socket.socket
    ) -> None:
        with contextlib.suppress(OSError):  # a kernel without it: the request is waited for here
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, SILENT_SECONDS)
        self._loop = loop
        self._connections = connections
        self._names = names
        connections.serve(listening, self._begin)

    def _begin(self, connected: socket.socket) -> None:
        """Read the request: most often it has come, is all that has, and is a CONNECT."""
        received: bytes | None
        try:
            received = connected.recv(FIRST)
        except BlockingIOError:
            received = None
        except OSError:  # the program has gone
            received = b""
        target = requests.whole_connect(received) if received and len(received) < FIRST else None
        if target is not None:
            self._connections.carry(connected, (self._names.target(target[0]), target[1]), _CONNECTED)
        else:
            _Client(self._loop, self._connections, self._names, connected).begin(received)


class _Client:
    """A program that has connected to the proxy, until it has said where to."""

    def __init__(
        self, loop: Loop, connections: Connections, names: NameTable, connected: socket.socket
    ) -> None:
        self._loop = loop
        self._connections = connections
        self._names = names
        self._socket = connected
        self._received = b""
        self._greeted = False
        self._open = True
        self._timer: Timer | None = None

    def begin(self, received: bytes | None) -> None:
        """Read the request, of which this much has come (None: nothing yet), and wait for the rest."""
        self._connections.hold(self)
        if received is not None:
            self._take(received)
        if self._open:
            self._timer = self._loop.after(REQUEST_SECONDS, lambda: self._refuse(b""))
            self._loop.watch(self._socket.fileno(), selectors.EVENT_READ, lambda mask: self._ready())

    def _ready(self) -> None:
        try:
            piece = self._socket.recv(requests.HEAD_LIMIT)
        except BlockingIOError:
            return
        except OSError:  # the program has gone
            piece = b""
        self._take(piece)

    def _take(self, piece: bytes) -> None:
        """Go on with bytes that have come; there are none after the last one."""
        self._received += piece
        try:
            if not piece:
                self._refuse(b"")
            elif self._greeted or self._received[0] == requests.SOCKS:
                self._read_socks()
            else:
                self._read_http()
        except OSError:  # the program has gone
            self._refuse(b"")

    def _read_http(self) -> None:
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if len(head) > requests.HEAD_LIMIT:
            self._refuse(page("bad", "The request's head is too long."))
        elif found:
            try:
                request = requests.parse_head(head)
            except BadProxyRequest as error:
                self._refuse(page("bad", "The proxy refused the request: %s." % error))
                return
            established = b"" if request.head else requests.ESTABLISHED
            body = request.body
            if request.head and body is not None:
                rest = rest[:body]
                body -= len(rest)
            first = (request.head or b"") + rest
            self._carry(request.target, Reply(established, page), first, body)

    def _read_socks(self) -> None:
        try:
            if not self._greeted:
                length = requests.parse_greeting(self._received)
                if not length:
                    return
                self._greeted = True
                self._received = self._received[length:]
                self._socket.send(requests.SOCKS_GREETED)
        except BadProxyRequest:
            self._refuse(requests.SOCKS_NO_METHOD)
            return
        try:
            request = requests.parse_socks(self._received)
        except BadProxyRequest:
            self._refuse(requests.socks_refusal("bad", ""))
            return
        if request is not None:
            (target, length), reply = request, Reply(requests.SOCKS_ACCEPTED, requests.socks_refusal)
            self._carry(target, reply, self._received[length:], None)

    def _carry(self, target: requests.Target, reply: Reply, first: bytes, body: int | None) -> None:
        self._let_go()
        target = self._names.target(target[0]), target[1]
        self._connections.carry(self._socket, target, reply, first, body)

    def _refuse(self, words: bytes) -> None:
        self._let_go()
        self._connections.refuse(self._socket, words)

    def _let_go(self) -> None:
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
            self._loop.watch(self._socket.fileno(), 0, None)
        self._connections.release(self)
