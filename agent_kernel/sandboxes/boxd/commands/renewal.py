"""Begins a sandbox anew in place, after its host has put the files of another moment under it.

Every process but boxd ends, files in memory are removed, and the shell begins with the state that the new
files hold: what a sandbox made from them would have. What cannot be undone is an error, and the host makes a
new sandbox.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal

from ..handler import BoxHandler
from . import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..handler import BoxChannel
    from ..loop import Loop
    from .shell import Shell

FOLDERS = ("/tmp", "/dev/shm", "/dev/mqueue", "/run")  # noqa: S108 (inside the sandbox)
"""Where the sandbox's file systems in memory are, and its message queues: they outlive processes too."""

ROUND, MAX_PAUSE = 0.001, 0.05

_SHARED = ("/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg")
"""Tables of what outlives the processes that made it; the first line is a heading."""


class Renewal:
    """Begins anew. `run` is boxd's own folder, which stays."""

    def __init__(self, loop: Loop, shell: Shell, run: str) -> None:
        self._loop = loop
        self._shell = shell
        self._run = run
        self._doomed: set[int] = set()
        self.under_way = False
        """Whether processes are ending, or files in memory being removed."""
        self._problem = ""
        self._calls: list[RenewCall] = []
        self._limits = _hard_limits()

    def begin(self) -> None:
        """End all processes, then clear, then begin with the saved shell. Queued commands run after that."""
        self.under_way, self._problem = True, ""
        self._shell.leave()
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)  # reaches all at once, so that no fork escapes it
        self._doomed = set(processes.table()) - {os.getpid()}
        self._await_end()

    def answer(self, channel: BoxChannel) -> BoxHandler | None:
        """Answer a call when the sandbox has begun anew, or say why it cannot."""
        call = RenewCall(channel, self._calls)
        self._calls.append(call)
        if not self.under_way:
            self._tell()
            return None
        return call

    def _await_end(self, pause: float = ROUND) -> None:
        self._doomed &= set(processes.table())
        if self._doomed or self._shell.pid:
            self._loop.after(pause, lambda: self._await_end(min(2 * pause, MAX_PAUSE)))
        elif any(map(self._holds_files, FOLDERS)):
            self._clear()
        else:
            self._cleared(0)

    def _holds_files(self, folder: str) -> bool:
        own = os.path.dirname(self._run) == folder and os.path.basename(self._run)
        with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
            return any(entry.name != own for entry in entries)
        return False

    def _clear(self) -> None:
        """Remove the files in memory by a program: trees may be deep, and boxd goes on answering."""
        stays = ["!", "-path", self._run, "!", "-path", self._run + "/*"]
        command = ["find", *filter(os.path.isdir, FOLDERS), "-xdev", "-mindepth", "1", *stays, "-delete"]
        pid = os.fork()
        if pid == 0:
            try:
                processes.default_signals()
                os.execvp(command[0], command)  # noqa: S606
            finally:
                os._exit(127)
        self._loop.on_exit(pid, self._cleared)

    def _cleared(self, status: int) -> None:
        if status:
            self._problem = "files in memory could not be removed"
        elif any(map(_has_entries, _SHARED)):
            self._problem = "there is shared memory of processes that have ended"
        elif _hard_limits() != self._limits:
            self._problem = "a hard limit was set on process 1"
        self.under_way = False
        self._shell.begin_anew()
        self._tell()

    def _tell(self) -> None:
        while self._calls:
            call = self._calls.pop(0)
            if self._problem:
                call.channel.error("renew", self._problem)
            else:
                call.channel.result({})


class RenewCall(BoxHandler):
    """A host that waits for the sandbox to begin anew."""

    def __init__(self, channel: BoxChannel, waiting: list[RenewCall]) -> None:
        self.channel = channel
        self._waiting = waiting

    def on_lost(self) -> None:
        """Answer nobody."""
        if self in self._waiting:
            self._waiting.remove(self)


def device_of(path: str) -> int:
    """Return the device of a folder; 0 if it cannot be read."""
    try:
        return os.stat(path).st_dev
    except OSError:
        return 0


def _has_entries(table: str) -> bool:
    try:
        with open(table, "rb") as file:
            return file.readline() != b"" and file.readline() != b""
    except OSError:  # a kernel without it
        return False


def _hard_limits() -> list[int]:
    numbers = (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_AS, resource.RLIMIT_NPROC)
    return [resource.getrlimit(number)[1] for number in numbers]
