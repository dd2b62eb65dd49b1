"""The sandbox's network: its sockets are taken before any command runs, and never opened to anything else."""

from __future__ import annotations

import socket

from . import proxy
from .carried import Reply
from .connections import BACKLOG, Connections
from .ends import reset
from .names import NameTable
from .resolver import Resolver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from ..connection import HostConnection
    from ..loop import Loop

LOOPBACK = "127.0.0.1"
ANY = "0.0.0.0"  # noqa: S104 (all of 127/8; there is no other device)
WEB = 80


class PortTaken(OSError):
    """A port cannot be taken: another program has it, or the kernel keeps it for root."""


class Sockets:
    """The sockets of a network, bound and not yet served.

    Raises `PortTaken`. Commands start later, so none can be faster.
    """

    def __init__(self, proxy_port: int, resolver: int, ports: list[int]) -> None:
        bound: list[socket.socket] = []
        self.packets: socket.socket | None = None
        self.queries: socket.socket | None = None
        self.transparent: dict[int, socket.socket] = {}
        try:
            bound.append(bind(LOOPBACK, proxy_port))
            self.proxy = bound[0]
            if ports:
                bound.append(bind(LOOPBACK, resolver, socket.SOCK_DGRAM))
                bound.append(bind(LOOPBACK, resolver))
                self.packets, self.queries = bound[1:]
            for port in ports:
                bound.append(bind(ANY, port))
                self.transparent[port] = bound[-1]
        except PortTaken:
            for each in bound:
                each.close()
            raise


def bind(address: str, port: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Take a port. It is not shared, so no other program can listen there as well. Raises `PortTaken`."""
    bound = socket.socket(socket.AF_INET, kind)
    try:
        bound.bind((address, port))
        if kind == socket.SOCK_STREAM:
            bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise PortTaken(error.errno, "port %d cannot be taken (%s)" % (port, error.strerror)) from error
    return bound


class SandboxNetwork:
    """Serves the sockets: programs' connections go to `host()`, by the name that they are meant for."""

    def __init__(self, loop: Loop, sockets: Sockets, host: Callable[[], HostConnection | None]) -> None:
        self._names = NameTable()
        self._connections = Connections(loop, host)
        self._listening = dict(sockets.transparent)
        if sockets.packets is not None and sockets.queries is not None:
            self._resolver = Resolver(loop, self._names, sockets.packets, sockets.queries)
        self._proxy = proxy.Proxy(loop, self._connections, self._names, sockets.proxy)
        for port, listening in self._listening.items():
            self._serve(port, listening)
        self.killed = self._connections.killed

    def listen(self, ports: list[int]) -> None:
        """Make more ports transparent, all or none. Raises `PortTaken`."""
        bound: dict[int, socket.socket] = {}
        try:
            for port in ports:
                if port not in self._listening:
                    bound[port] = bind(ANY, port)
        except PortTaken:
            for each in bound.values():
                each.close()
            raise
        self._listening.update(bound)
        for port, listening in bound.items():
            self._serve(port, listening)

    def _serve(self, port: int, listening: socket.socket) -> None:
        def begin(connected: socket.socket) -> None:
            name = self._names.name(connected.getsockname()[0])
            if name is None:  # an address that no name has
                reset(connected)
                return
            reply = Reply(b"", proxy.page if port == WEB else _silent)
            self._connections.carry(connected, (name, port), reply)

        self._connections.serve(listening, begin)


def _silent(code: str, text: str) -> bytes:
    """Refuse without words: what the program speaks is not known."""
    return b""
