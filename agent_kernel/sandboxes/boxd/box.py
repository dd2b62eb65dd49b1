"""The methods that boxd serves, and the hosts that call them."""

from __future__ import annotations

import os
import re
import signal
import socket

from . import files, wire
from .commands import aftermath, processes
from .commands.job import Job
from .commands.programs import Programs
from .commands.renewal import Renewal, device_of
from .commands.shell import Shell
from .commands.watch import Watch
from .connection import HostConnection, Service
from .marks import Marks
from .terminal import PtyTerminal
from .tunnel import Tunnel, connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .egress.network import SandboxNetwork
    from .handler import BoxChannel, BoxHandler
    from .loop import Loop

MOST_CHANGES = 16 << 10
"""The most characters of variables that are set at once: they go through a pipe."""

_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

RECENT = 8
"""The most ended jobs that can still be watched."""

MOST_HOSTS = 8
"""The most attached hosts. One more closes the oldest, so that dead streams do not pile up."""


class Box:
    """The sandbox as its hosts see it: methods by name, and a lease that runs while no host is attached."""

    def __init__(self, loop: Loop, shell: Shell, lease: float) -> None:
        self._loop = loop
        self._shell = shell
        self._lease = lease
        self._jobs: dict[int, Job] = {}
        self._numbers = 0
        self._marks = Marks()
        self._programs = Programs(loop, shell.environment)
        self._hosts: list[HostConnection] = []
        self._paused = False
        self._left: int | None = None  # the device of the workspace, for a host that may replace it
        self._renewal = Renewal(loop, shell, shell.run)
        self._holder: object = None
        self._leaver: object = None
        self._network: SandboxNetwork | None = None
        self._expiry = loop.after(lease, loop.stop)
        self._methods: dict[str, Callable[[BoxChannel, dict[str, Any]], BoxHandler | None]] = {
            "ping": self.call_ping,
            "run": self.call_run,
            "watch": self.call_watch,
            "commands": self.call_commands,
            "aftermath": self.call_aftermath,
            "reset": self.call_reset,
            "variables": self.call_variables,
            "pause": self.call_pause,
            "wake": self.call_wake,
            "renew": self.call_renew,
            "terminal": self.call_terminal,
            "program": self.call_program,
            "put": self.call_put,
            "get": self.call_get,
            "stat": self.call_stat,
            "list": self.call_list,
            "changes": self.call_changes,
            "remove": self.call_remove,
            "dial": self.call_dial,
        }

    def add_network(self, network: SandboxNetwork) -> None:
        """Serve `listen`, for a sandbox that has a network."""
        self._network = network
        self._methods["listen"] = self.call_listen

    def accept(self, read_fd: int, write_fd: int, on_close: Callable[[], None]) -> None:
        """Serve another host on these descriptors. The lease runs only while none has greeted."""

        def closed(connection: HostConnection) -> None:
            on_close()
            if connection in self._hosts:
                self._hosts.remove(connection)
            if connection in (self._holder, self._leaver):
                self._wake()
            if not any(host.greeted for host in self._hosts):
                self._expiry.cancel()
                self._expiry = self._loop.after(self._lease, self._loop.stop)

        service = Service(self._methods, self.call, self._expiry_cancelled, closed)
        connection = HostConnection(self._loop, service, read_fd, write_fd)
        if not connection.closed:
            self._hosts.append(connection)
        if len(self._hosts) > MOST_HOSTS:
            self._hosts[0].close()

    def _expiry_cancelled(self) -> None:
        self._expiry.cancel()

    def call(self, channel: BoxChannel, request: dict[str, Any]) -> BoxHandler | None:
        """Begin a call and return its handler, or None if it is answered already."""
        return self._methods[_text(request, "method")](channel, request)

    def call_ping(self, channel: BoxChannel, request: dict[str, Any]) -> None:
        """Answer at once."""
        channel.result({})

    def call_run(self, channel: BoxChannel, request: dict[str, Any]) -> BoxHandler | None:
        """Run a command in the shell and watch it. A name that is known is refused: nothing runs twice."""
        command = _text(request, "command").encode("utf-8", "surrogateescape")
        timeout = None if request.get("timeout") is None else float(request["timeout"])
        self._numbers += 1
        job = Job(self._numbers, command, timeout)
        job.name = None if request.get("name") is None else _text(request, "name")
        if job.name is not None and any(job.name == other.name for other in self._jobs.values()):
            channel.error("job", "a command of this name was begun before")
            return None
        self._jobs[self._numbers] = job
        for number in [n for n, old in self._jobs.items() if old.outcome is not None][:-RECENT]:
            del self._jobs[number]
        watch = Watch(channel, self._shell, job, 0)
        self._be_awake(channel.peer)
        self._shell.submit(job)
        return watch

    def call_watch(self, channel: BoxChannel, request: dict[str, Any]) -> BoxHandler | None:
        """Watch a job that an earlier host began, by number or name, from an offset on."""
        if request.get("name") is not None:
            named = [job for job in self._jobs.values() if job.name == _text(request, "name")]
            job = named[-1] if named else None
        else:
            job = self._jobs.get(int(request["job"]))
        if job is None:
            channel.error("job", "no such command")
            return None
        watch = Watch(channel, self._shell, job, int(request.get("offset", 0)))
        watch.on_credit()
        return watch

    def call_commands(self, channel: BoxChannel, request: dict[str, Any]) -> None:
        """List the names of the jobs that can be watched, oldest first."""
        channel.result({"names": [job.name for job in self._jobs.values() if job.name is not None]})

    def call_aftermath(self, channel: BoxChannel, request: dict[str, Any]) -> BoxHandler | None:
        """Describe the sandbox after a failed command; `seconds` is how long ago it began, or null."""
        seconds = request.get("seconds")
        since = None if seconds is None else aftermath.start(float(seconds), self._shell.began)
        path = _text(request, "path")

        def described() -> dict[str, Any]:
            return aftermath.describe(self._shell.directory(), self._shell.pid, path, since)

        call = aftermath.AftermathCall(self._loop, channel, described)
        self._shell.when_ready(call.answer)
        return None if call.done else call

    def call_reset(self, channel: BoxChannel, request: dict[str, Any]) -> None:
        """Begin a fresh shell. Background processes live on."""
        self._be_awake(channel.peer)
        self._shell.reset()
        channel.result({})

    def call_variables(self, channel: BoxChannel, request: dict[str, Any]) -> None:
        """Set variables of commands and terminals, or remove them (null). What runs already keeps its own."""
        values = request["values"]
        if not isinstance(values, dict):
            raise ValueError("values")
        for name, value in values.items():
            if not _NAME.fullmatch(name) or not isinstance(value, (str, type(None))) or "\0" in (value or ""):
                raise ValueError("values")
        if len(str(values)) > MOST_CHANGES:
            raise ValueError("values")
        self._shell.change_variables(values)
        channel.result({})

    def call_pause(self, channel: BoxChannel, request: dict[str, Any]) -> BoxHandler | None:
        """Stop every process but boxd where it is. The lease goes on.

        With `idle`, only if nothing but background processes is under way, and the next command wakes the
        sandbox. With `leaves` too, it begins anew then if its files were replaced meanwhile; until this host
        wakes it or leaves, no other host can pause or wake it. Without `idle` it stays paused until this host
        calls `wake` or leaves. A shell that is about to be ready is waited for, so that it is not stopped in
        the middle of boxd's own code.
        """
        others = [host for host in self._hosts if host is not channel.peer]
        if request.get("idle"):
            changing = self._leaver in others or self._renewal.under_way
            if self._shell.busy or changing or self._holder or any(host.busy for host in others):
                channel.result({"paused": False})
                return None
            if request.get("leaves"):
                self._left, self._leaver = device_of(self._shell.workspace), channel.peer
        elif self._holder in others or self._leaver in others:
            channel.error("busy", "another host holds it paused")
            return None
        else:
            self._holder = channel.peer
        call = aftermath.AftermathCall(self._loop, channel, self._stop_all)
        self._shell.when_ready(call.answer)
        return None if call.done else call

    def _stop_all(self) -> dict[str, Any]:
        self._paused = True
        processes.send_all(signal.SIGSTOP)
        return {"paused": True}

    def call_wake(self, channel: BoxChannel, request: dict[str, Any]) -> None:
        """Let every process go on, unless another host is replacing the files."""
        if self._leaver in (None, channel.peer):
            self._wake()
        channel.result({})

    def call_renew(self, channel: BoxChannel, request: dict[str, Any]) -> BoxHandler | None:
        """Wake a sandbox that was left, and answer when it has begun anew."""
        self._wake()
        return self._renewal.answer(channel)

    def _wake(self) -> None:
        self._holder = self._leaver = None
        left, self._left = self._left, None
        if not self._paused:
            return
        self._paused = False
        if left is not None and left != device_of(self._shell.workspace):
            self._begin_anew()
        else:
            self._shell.come_along()
            processes.send_all(signal.SIGCONT)

    def _begin_anew(self) -> None:
        self._jobs = {number: job for number, job in self._jobs.items() if job.outcome is None}
        self._marks = Marks()
        self._programs = Programs(self._loop, self._shell.environment)
        self._renewal.begin()
        self._shell.on_kill()

    def _be_awake(self, peer: object) -> None:
        """Wake an idle sandbox before a command. One that a host holds paused, or has left, runs it later."""
        if self._holder is None and self._leaver in (None, peer):
            self._wake()

    def call_terminal(self, channel: BoxChannel, request: dict[str, Any]) -> BoxHandler:
        """Open another shell on a terminal with this many rows and columns."""
        self._be_awake(channel.peer)
        size = (_extent(request["rows"]), _extent(request["columns"]))
        return PtyTerminal(self._loop, channel, self._shell.environment, self._shell.directory(), size)

    def call_program(self, channel: BoxChannel, request: dict[str, Any]) -> BoxHandler | None:
        """Attach to a long-lived program, which is started if it does not run."""
        command = request["command"]
        if not isinstance(command, list) or not all(isinstance(each, str) for each in command):
            raise ValueError("command")
        self._be_awake(channel.peer)
        return self._programs.call(channel, _text(request, "name"), command, self._shell.workspace)

    def call_put(self, channel: BoxChannel, request: dict[str, Any]) -> BoxHandler:
        """Receive a file: in frames, or from a pipe that the host has given with the call."""
        flags = (bool(request.get("digest")), bool(request.get("executable")))
        if not request.get("passed"):
            return files.Put(channel, _text(request, "path"), _folder(request), *flags)
        pipe = channel.peer.passed()
        try:
            return files.PipedPut(self._loop, pipe, channel, _text(request, "path"), _folder(request), *flags)
        except BaseException:
            os.close(pipe)
            raise

    def call_get(self, channel: BoxChannel, request: dict[str, Any]) -> BoxHandler:
        """Send a file."""
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
        """Describe what has changed below a folder since a mark, and set a new one."""
        since = _text(request, "since") if request.get("since") is not None else None
        channel.result(self._marks.changes(_text(request, "path"), since))

    def call_remove(self, channel: BoxChannel, request: dict[str, Any]) -> None:
        """Remove a file."""
        files.check_within(os.path.dirname(_text(request, "path")), _folder(request))
        os.unlink(_text(request, "path"))
        channel.result({})

    def call_dial(self, channel: BoxChannel, request: dict[str, Any]) -> BoxHandler:
        """Connect to a target as a program in the sandbox would, and carry the bytes to the caller."""
        target = (_text(request, "name"), int(request["port"]))
        near, far = socket.socketpair()
        tunnel = Tunnel(self._loop, channel, near)
        accepted = {"accepted": True}
        connect(self._loop, self.egress(), target, far, lambda: channel.tell(accepted), tunnel.fail)
        return tunnel

    def call_listen(self, channel: BoxChannel, request: dict[str, Any]) -> None:
        """Make more ports transparent, all or none."""
        ports = request["ports"]
        if self._network is None or not isinstance(ports, list):
            raise ValueError("ports")
        self._network.listen([int(port) for port in ports])
        channel.result({})

    def egress(self) -> HostConnection | None:
        """Return the newest host that makes connections for the sandbox."""
        for host in reversed(self._hosts):
            if wire.CONNECT in host.methods:
                return host
        return None


def _text(request: dict[str, Any], name: str) -> str:
    value = request[name]
    if not isinstance(value, str):
        raise ValueError(name)
    return value


def _extent(value: object) -> int:
    """Limit rows or columns to what fits a window's size."""
    return min(max(int(str(value)), 1), 999)


def _folder(request: dict[str, Any]) -> str | None:
    return None if request.get("within") is None else _text(request, "within")
