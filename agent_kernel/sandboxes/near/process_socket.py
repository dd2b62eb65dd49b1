"""Reach boxd's socket inside a container by the root folder of its process, where this process may.

That takes an engine on this machine, and this user as root or as the owner of the container's user namespace.
The engine then carries no byte of the stream.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
import stat

from agent_kernel.sandboxes.boxd import wire

_SECONDS = 2.0
"""Seconds that boxd has to confirm, also on a busy machine.

A boxd of an earlier release never does. Attaching to its container takes that much longer, and then goes
through the engine.
"""


async def reach(pid: int, mark: str, path: str) -> socket.socket | None:
    """Give the boxd that listens at `path` inside one end of a pair of sockets, and return the other.

    `pid` is the container's process 1. `mark` must be in the names of its control groups: the number may be
    another process's by now, or of another machine. Returns None where boxd cannot be reached so. A command
    inside could listen at `path` instead, and be taken for boxd: what it says is a claim, as always.
    """
    ours, theirs = socket.socketpair()
    try:
        with theirs, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as boxd:
            boxd.setblocking(False)
            _connect(boxd, pid, mark, path)
            descriptors = array.array("i", [theirs.fileno(), theirs.fileno()])
            boxd.sendmsg([wire.CONFIRM], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
            async with asyncio.timeout(_SECONDS):
                if await asyncio.get_running_loop().sock_recv(boxd, 1) == wire.CONFIRM:
                    return ours
    except (OSError, TimeoutError):  # no such process here, no right to it, or a boxd of an older release
        pass
    except BaseException:
        ours.close()
        raise
    ours.close()
    return None


def _connect(boxd: socket.socket, pid: int, mark: str, path: str) -> None:
    """Connect to a socket inside. Raises `OSError`.

    The folders are opened one by one: a link inside could lead to a socket of the host.
    """
    process = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY)
    opened = [process]
    try:
        groups = os.open("cgroup", os.O_RDONLY, dir_fd=process)
        with open(groups, encoding="utf-8", errors="replace") as file:
            if mark not in file.read(1 << 16):
                raise ProcessLookupError
        opened.append(os.open("root", os.O_PATH | os.O_DIRECTORY, dir_fd=process))
        for name in path.strip("/").split("/"):
            opened.append(os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=opened[-1]))
        if not stat.S_ISSOCK(os.fstat(opened[-1]).st_mode):
            raise FileNotFoundError
        boxd.connect(f"/proc/self/fd/{opened[-1]}")
    finally:
        for fd in opened:
            os.close(fd)
