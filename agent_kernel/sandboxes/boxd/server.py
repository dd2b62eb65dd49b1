"""Serves a sandbox: listens for hosts, and runs until the lease ends."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import struct
import sys

from . import families, guard, gvisor, interactive, namespaces, wire
from .box import Box
from .commands.shell import Shell
from .loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .egress.network import Sockets

READY = "boxd listens\n"


class Listener:
    """Accepts hosts on a listening socket: directly, or as descriptors that `attach` hands over at `path`."""

    def __init__(self, loop: Loop, box: Box, listening: socket.socket, path: str | None) -> None:
        self._loop = loop
        self._box = box
        self._path = path
        self._listen(listening)

    def _listen(self, listening: socket.socket) -> None:
        self._listening = listening
        listening.setblocking(False)
        self._loop.watch(listening.fileno(), selectors.EVENT_READ, lambda mask: self._accept())

    def check(self) -> None:
        """Listen again if a command has removed the socket from the file system."""
        if self._path is not None and not os.path.exists(self._path):
            self._loop.watch(self._listening.fileno(), 0, None)
            self._listening.close()
            self._listen(listen_at(self._path))

    def _accept(self) -> None:
        try:
            connected = self._listening.accept()[0]
        except BlockingIOError:
            return
        if self._path is None:
            fd = connected.detach()
            self._box.accept(fd, fd, lambda: None)
            return
        self._loop.watch(connected.fileno(), selectors.EVENT_READ, lambda mask: self._take_over(connected))

    def _take_over(self, connected: socket.socket) -> None:
        """Receive the input and output of a host, from itself or from the attach program.

        That program waits until `connected` closes.
        """
        self._loop.watch(connected.fileno(), 0, None)
        size = struct.calcsize("ii")
        fds: tuple[int, ...] = ()
        try:
            asked, ancillary, _, _ = connected.recvmsg(1, socket.CMSG_SPACE(size))
            fds = struct.unpack("ii", ancillary[0][2][:size])
            if asked == wire.CONFIRM:
                connected.send(asked)
        except (OSError, IndexError, struct.error):
            connected.close()
            for fd in fds:
                os.close(fd)
            return
        self._box.accept(fds[0], fds[1], connected.close)


def listen_at(path: str) -> socket.socket:
    """Make the socket at `path` through which hosts attach. Raises `OSError`."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    os.chmod(path, 0o600)
    listening.listen(8)
    return listening


def serve(listening: socket.socket, path: str | None, options: dict[str, Any]) -> None:
    """Run until the lease ends, SIGTERM arrives, or commands cannot run any more.

    `launch` makes the `options`. Where hosts attach (at `path`), the line `READY` on standard output says
    when they may. After it, standard input and output are the stream of the first host.
    """
    environment = dict(os.environ, **options["environment"])
    programs = environment.get("PATH", os.defpath)
    if not any(os.access(os.path.join(folder, "bash"), os.X_OK) for folder in programs.split(os.pathsep)):
        sys.exit("it has no bash")
    environment["PATH"] = _with_stand_ins(programs, options)
    os.makedirs(options["run"], exist_ok=True)
    os.makedirs(options["workspace"], exist_ok=True)
    if os.path.isdir(options["kept"]):
        from .workspace import begin_with

        begin_with(options["kept"], options["workspace"])
    os.makedirs(os.path.dirname(options["saved"]), exist_ok=True)
    sockets = _take_ports(options["network"])
    if path is None:
        _silence()
    guard.close()
    if path is not None and not gvisor.is_kernel():
        # gVisor has no other families, and namespaces of its own; bubblewrap's filter refuses them.
        families.load(families.program())
        families.load(namespaces.program())
    loop = Loop()
    signal.signal(signal.SIGTERM, lambda number, stack: loop.stop())
    shell = Shell(loop, options["run"], options["workspace"], environment, options["saved"])
    shell.limits.disk = options["disk"]
    box = Box(loop, shell, options["lease"])
    if sockets is not None:
        _add_network(loop, box, shell, sockets)
    shell.on_end = Listener(loop, box, listening, path).check
    if path is not None:
        sys.stdout.write(READY)
        sys.stdout.flush()
        _take_own_streams(box)
    loop.run()


def _with_stand_ins(programs: str, options: dict[str, Any]) -> str:
    """Return the PATH `programs` with the stand-ins for interactive programs in front."""
    folder = options["programs"]
    if options["streamed"]:
        with contextlib.suppress(OSError):  # an image that cannot be written to does without
            interactive.install(folder)
    return os.pathsep.join([folder, programs])


def _take_ports(asked: dict[str, Any] | None) -> Sockets | None:
    """Take the ports of the sandbox's network before any command can. Without a network nothing listens."""
    if asked is None:
        return None
    from .egress import network

    try:
        return network.Sockets(asked["proxy"], asked["resolver"], asked["ports"])
    except network.PortTaken as error:
        sys.exit("its network is not possible: %s" % error.strerror)


def _add_network(loop: Loop, box: Box, shell: Shell, sockets: Sockets) -> None:
    from .egress.network import SandboxNetwork

    network = SandboxNetwork(loop, sockets, box.egress)
    box.add_network(network)
    shell.on_kill = network.killed


def _silence() -> None:
    """Point standard error to /dev/null. Until now it reported why the sandbox cannot start."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 2)
    os.close(null)


def _take_own_streams(box: Box) -> None:
    """Serve the host at our standard input and output, and point their descriptors at /dev/null.

    The engine keeps these streams open for as long as this process lives. So a line on standard error, where
    nothing else is written, says that the stream has ended.
    """
    read_fd, write_fd, error_fd = (os.dup(standard) for standard in (0, 1, 2))

    def let_go() -> None:
        with contextlib.suppress(OSError):
            os.write(error_fd, b"boxd has let go of this stream\n")
        os.close(error_fd)

    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)
    box.accept(read_fd, write_fd, let_go)
