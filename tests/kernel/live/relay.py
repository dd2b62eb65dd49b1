"""A relay for TCP connections: it passes bytes on, until a test cuts the connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

CHANNELS = b"GET /api/kernels/"
"""How the request begins with which a front end connects to a kernel."""


class Relay:
    """Pass connections on to `target`, a port of this machine, from another port, `port`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._refusing = False
        self._refused = threading.Event()
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def address(self, of: str) -> str:
        """The URL of the target, by way of the relay."""
        return urlsplit(of)._replace(netloc=f"127.0.0.1:{self.port}").geturl()

    @contextmanager
    def cut(self) -> Iterator[threading.Event]:
        """End all connections, and refuse new ones to a kernel's channels while the context is open.

        Yields an event that is set once a connection to a kernel's channels was refused.
        """
        self._refused.clear()
        self._refusing = True
        self._end_all()
        try:
            yield self._refused
        finally:
            self._refusing = False

    def close(self) -> None:
        """End all connections and take no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end_all()
        for thread in self._threads:
            thread.join()

    def _start(self, function: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _end_all(self) -> None:
        for one in list(self._open):
            with suppress(OSError):  # the other side may have ended it
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                self._start(self._connect, self._listener.accept()[0])

    def _connect(self, near: socket.socket) -> None:
        with near, socket.socket() as far:
            self._open |= {near, far}
            try:
                first = near.recv(1 << 16)
                if self._refusing and first.startswith(CHANNELS):
                    self._refused.set()
                    return
                far.connect(("127.0.0.1", self._target))
                far.sendall(first)
                back = threading.Thread(target=_pump, args=(far, near), daemon=True)
                back.start()
                _pump(near, far)
                back.join()
            except OSError:
                return  # a side has ended: so does the connection
            finally:
                self._open -= {near, far}


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass bytes on until the source ends, then end the sink too."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
