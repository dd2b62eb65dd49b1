"""Listen on a kernel's ports before the libraries that serve them are loaded.

A client connects as soon as it has started the process. A port that is not there yet costs it 0.1 to 0.2
seconds until it tries again (`RECONNECT_IVL` of ZeroMQ). ZeroMQ takes the listening sockets over
(`USE_FD`), with the connections that have come meanwhile.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

USE_FD = 89
"""The option of a ZeroMQ socket that binds it to a descriptor that listens already (`zmq.h`)."""

POLLIN = 1
"""What a stream of ZeroMQ reads (`zmq.h`)."""

_NAMES = ("shell_port", "iopub_port", "stdin_port", "control_port")
_BACKLOG = 100
"""As ZeroMQ's own default."""


class Ports:
    """Listening sockets by their ports. Close it when what serves them has taken them over."""

    def __init__(self, sockets: dict[int, socket.socket]) -> None:
        self._sockets = sockets

    def take(self, port: int) -> int | None:
        """Return the descriptor of a port's socket, which becomes the caller's; None if there is none."""
        found = self._sockets.pop(port, None)
        return None if found is None else found.detach()

    def close(self) -> None:
        """Close those that nobody has taken. Idempotent."""
        while self._sockets:
            self._sockets.popitem()[1].close()


def listen(connection_file: str) -> Ports:
    """Listen on the ports of a connection file, where that can be done now.

    What is wrong with the file, or with a port, is left to who reads it or binds to it later.
    """
    opened: dict[int, socket.socket] = {}
    try:
        told = json.loads(Path(connection_file).read_text("utf-8"))
        if sys.platform != "win32" and told["transport"] == "tcp":
            for name in _NAMES:
                _open(told["ip"], told[name], opened)
    except (OSError, ValueError, TypeError, KeyError):
        pass
    return Ports(opened)


def _open(ip: str, port: int, opened: dict[int, socket.socket]) -> None:
    if 0 < port < 1 << 16:
        listening = socket.create_server((ip, port), backlog=_BACKLOG)
        listening.setblocking(False)
        opened[port] = listening
