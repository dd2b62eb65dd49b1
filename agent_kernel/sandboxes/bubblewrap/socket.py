"""The socket by which hosts come to an embedded sandbox: it lies in the sandbox's folder, outside of it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from agent_kernel.sockets import reachable

START_TIMEOUT = 30.0


@contextlib.contextmanager
def listen(folder: Path) -> Iterator[socket.socket]:
    """The listening end, to be inherited by the sandbox."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        with reachable(folder) as short:
            listening.bind(f"{short}/socket")
        listening.listen(8)
        yield listening


def speaks(folder: Path, listening: socket.socket) -> bool:
    """Whether boxd greets on a connection; when it dies before, the connection ends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected, reachable(folder) as short:
        connected.settimeout(START_TIMEOUT)
        connected.connect(f"{short}/socket")
        listening.close()  # ours; the sandbox's own is then the last
        try:
            return bool(connected.recv(1))
        except OSError:
            return False
