"""The socket by which hosts reach an embedded sandbox. It is in the sandbox's folder on the host."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sockets import reachable

START_TIMEOUT = 30.0


@contextlib.contextmanager
def listen(folder: Path) -> Iterator[socket.socket]:
    """Listen on a socket in the folder, for the sandbox to inherit."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        with reachable(folder) as short:
            listening.bind(f"{short}/socket")
        listening.listen(8)
        yield listening


def speaks(folder: Path, listening: socket.socket) -> bool:
    """Greet boxd and say whether it answers. If it dies before, the connection ends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected, reachable(folder) as short:
        connected.settimeout(START_TIMEOUT)
        connected.connect(f"{short}/socket")
        connected.sendall(wire.hello([]))
        listening.close()  # our copy, so that the sandbox has the last one
        try:
            return bool(connected.recv(1))
        except OSError:
            return False
