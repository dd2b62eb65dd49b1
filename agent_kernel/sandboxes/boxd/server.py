"""The sandbox as its host sees it: calls by name, hosts that come and go, and the lease that ends it all."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import struct
import sys

from . import files, guard, processes, wire
from .connection import BoxChannel, Connection
from .loop import Loop
from .shell import Job, Shell
from .terminal import PtyTerminal
from .watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

READY = "boxd listens\n"
RECENT = 8
"""How many ended jobs can still be watched."""

MOST_HOSTS = 8
"""Hosts at once; of more, the one that came first is let go: streams that died unseen must not pile up."""


class Box:
    """The sandbox as its hosts see it: calls by name, each host with channels of its own, a lease."""

    def __init__(self, loop: Loop, shell: Shell, lease: float) -> None:
        self._loop = loop
        self._shell = shell
        self._lease = lease
        self._jobs: dict[int, Job] = {}
        self._numbers = 0
        self._hosts: list[Connection] = []
        self._paused = False
        self._holder: Connection | None = None
        self._expiry = loop.after(lease, loop.stop)
        self._methods = {
            "ping": self.call_ping,
            "run": self.call_run,
            "watch": self.call_watch,
            "reset": self.call_reset,
            "pause": self.call_pause,
            "wake": self.call_wake,
            "terminal": self.call_terminal,
            "put": self.call_put,
            "get": self.call_get,
            "stat": self.call_stat,
            "list": self.call_list,
            "changes": self.call_changes,
            "remove": self.call_remove,
            "shutdown": self.call_shutdown,
        }

    def accept(self, read_fd: int, write_fd: int, on_close: Callable[[], None]) -> None:
        """Take a host, beside those that are there. The lease runs only while none of them has greeted."""

        def closed(connection: Connection) -> None:
            on_close()
            if connection in self._hosts:
                self._hosts.remove(connection)
            if connection is self._holder:
                self._wake()
            if not any(host.greeted for host in self._hosts):
                self._expiry.cancel()
                self._expiry = self._loop.after(self._lease, self._loop.stop)

        connection = Connection(self._loop, self, read_fd, write_fd, closed)
        if not connection.closed:
            self._hosts.append(connection)
        if len(self._hosts) > MOST_HOSTS:
            self._hosts[0].close()

    def greeted(self) -> None:
        """A host is there."""
        self._expiry.cancel()

    def call(self, channel: BoxChannel, request: dict[str, Any]) -> wire.Handler | None:
        """Begin a call and return its handler, or None where it is answered at once."""
        method: Callable[[BoxChannel, dict[str, Any]], wire.Handler | None]
        method = self._methods[_text(request, "method")]
        return method(channel, request)

    def call_ping(self, channel: BoxChannel, request: dict[str, Any]) -> None:
        """Say that we are there."""
        channel.result({})

    def call_run(self, channel: BoxChannel, request: dict[str, Any]) -> wire.Handler:
        """Run a command in the shell and watch it."""
        command = _text(request, "command").encode("utf-8", "surrogateescape")
        timeout = None if request.get("timeout") is None else float(request["timeout"])
        self._numbers += 1
        job = Job(self._numbers, command, timeout)
        self._jobs[self._numbers] = job
        for number in [n for n, old in self._jobs.items() if old.outcome is not None][:-RECENT]:
            del self._jobs[number]
        watch = Watch(channel, self._shell, job, 0)
        self._be_awake()
        self._shell.submit(job)
        return watch

    def call_watch(self, channel: BoxChannel, request: dict[str, Any]) -> wire.Handler | None:
        """Watch a job that an earlier host began, from an offset on."""
        job = self._jobs.get(int(request["job"]))
        if job is None:
            channel.error("job", "no such command")
            return None
        watch = Watch(channel, self._shell, job, int(request.get("offset", 0)))
        watch.on_credit()
        return watch

    def call_reset(self, channel: BoxChannel, request: dict[str, Any]) -> None:
        """Begin with a fresh shell; background processes live on."""
        self._be_awake()
        self._shell.reset()
        channel.result({})

    def call_pause(self, channel: BoxChannel, request: dict[str, Any]) -> None:
        """Stop every process but boxd, where it stands; the lease goes on.

        With `idle`, only if nothing is under way but in the background, and the next command wakes it.
        Otherwise it stays so until this host says `wake`, or leaves.
        """
        others = [host for host in self._hosts if host is not channel.connection]
        if request.get("idle"):
            if self._shell.busy or self._holder is not None or any(host.busy for host in others):
                channel.result({"paused": False})
                return
        elif self._holder in others:
            channel.error("busy", "another host holds it paused")
            return
        else:
            self._holder = channel.connection
        self._paused = True
        processes.send_all(signal.SIGSTOP)
        channel.result({"paused": True})

    def call_wake(self, channel: BoxChannel, request: dict[str, Any]) -> None:
        """Let all go on."""
        self._wake()
        channel.result({})

    def _wake(self) -> None:
        self._holder = None
        if self._paused:
            self._paused = False
            processes.send_all(signal.SIGCONT)

    def _be_awake(self) -> None:
        """Something is about to be run: an idle sandbox goes on; one that is held paused runs it later."""
        if self._holder is None:
            self._wake()

    def call_terminal(self, channel: BoxChannel, request: dict[str, Any]) -> wire.Handler:
        """A shell of its own for a person, on a terminal of so many rows and columns."""
        self._be_awake()
        size = (_extent(request["rows"]), _extent(request["columns"]))
        return PtyTerminal(self._loop, channel, self._shell.environment, self._shell.directory(), size)

    def call_put(self, channel: BoxChannel, request: dict[str, Any]) -> wire.Handler:
        """Take a file."""
        flags = (bool(request.get("digest")), bool(request.get("executable")))
        return files.Put(channel, _text(request, "path"), _folder(request), *flags)

    def call_get(self, channel: BoxChannel, request: dict[str, Any]) -> wire.Handler:
        """Give a file."""
        get = files.Get(channel, _text(request, "path"), _folder(request), bool(request.get("digest")))
        channel.handler = get
        get.on_credit()
        return get

    def call_stat(self, channel: BoxChannel, request: dict[str, Any]) -> None:
        """Describe a file."""
        channel.result(files.stat_file(_text(request, "path")))

    def call_list(self, channel: BoxChannel, request: dict[str, Any]) -> None:
        """Describe all files below a folder."""
        channel.result(files.list_files(_text(request, "path")))

    def call_changes(self, channel: BoxChannel, request: dict[str, Any]) -> None:
        """Describe what has changed below a folder since an earlier list."""
        channel.result(files.changed_files(_text(request, "path"), request["since"]))

    def call_remove(self, channel: BoxChannel, request: dict[str, Any]) -> None:
        """Remove a file."""
        files.check_within(os.path.dirname(_text(request, "path")), _folder(request))
        os.unlink(_text(request, "path"))
        channel.result({})

    def call_shutdown(self, channel: BoxChannel, request: dict[str, Any]) -> None:
        """End the sandbox."""
        channel.result({})
        self._loop.stop()


def _text(request: dict[str, Any], name: str) -> str:
    value = request[name]
    if not isinstance(value, str):
        raise ValueError(name)
    return value


def _extent(value: object) -> int:
    """Rows or columns: what fits a window's size."""
    return min(max(int(str(value)), 1), 999)


def _folder(request: dict[str, Any]) -> str | None:
    return None if request.get("within") is None else _text(request, "within")


class Listener:
    """Takes hosts from a listening socket: directly, or as descriptors handed over by `attach`."""

    def __init__(self, loop: Loop, box: Box, listening: socket.socket, handed_over: bool) -> None:
        self._loop = loop
        self._box = box
        self._listening = listening
        self._handed_over = handed_over
        listening.setblocking(False)
        loop.watch(listening.fileno(), selectors.EVENT_READ, lambda mask: self._accept())

    def _accept(self) -> None:
        try:
            connected = self._listening.accept()[0]
        except BlockingIOError:
            return
        if not self._handed_over:
            fd = connected.detach()
            self._box.accept(fd, fd, lambda: None)
            return
        self._loop.watch(connected.fileno(), selectors.EVENT_READ, lambda mask: self._take_over(connected))

    def _take_over(self, connected: socket.socket) -> None:
        """Receive the attach program's own input and output; it waits until `connected` closes."""
        self._loop.watch(connected.fileno(), 0, None)
        size = struct.calcsize("ii")
        try:
            _, ancillary, _, _ = connected.recvmsg(1, socket.CMSG_SPACE(size))
            fds = struct.unpack("ii", ancillary[0][2][:size])
        except (OSError, IndexError, struct.error):
            connected.close()
            return
        self._box.accept(fds[0], fds[1], connected.close)


def serve(listening: socket.socket, handed_over: bool, options: dict[str, Any]) -> None:
    """Run until the lease ends, the host says `shutdown`, or SIGTERM; `options` are those of `launch`.

    Where hosts attach, its standard output begins with a line, `READY`, when they may come: whoever starts it
    waits for that. What follows is a stream like any other, with its standard input the first there is.
    """
    environment = dict(os.environ, **options["environment"])
    path = environment.get("PATH", os.defpath)
    if not any(os.access(os.path.join(folder, "bash"), os.X_OK) for folder in path.split(os.pathsep)):
        sys.exit("it has no bash")
    os.makedirs(options["run"], exist_ok=True)
    os.makedirs(options["workspace"], exist_ok=True)
    if os.path.isdir(options["kept"]):
        from .workspace import begin_with

        begin_with(options["kept"], options["workspace"])
    os.makedirs(os.path.dirname(options["saved"]), exist_ok=True)
    guard.close()
    loop = Loop()
    signal.signal(signal.SIGTERM, lambda number, stack: loop.stop())
    shell = Shell(loop, options["run"], options["workspace"], environment, options["saved"])
    shell.limits.disk = options["disk"]
    box = Box(loop, shell, options["lease"])
    Listener(loop, box, listening, handed_over)
    if handed_over:
        sys.stdout.write(READY)
        sys.stdout.flush()
        _take_own_streams(box)
    loop.run()


def _take_own_streams(box: Box) -> None:
    """Take the host at our standard input and output; under their numbers, all leads nowhere from then on.

    An engine keeps these streams open towards the host for as long as we live. So a word on standard error,
    which nothing else is written to, says that we have let go of them.
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
