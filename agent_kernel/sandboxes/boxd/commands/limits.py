"""Names the limits that a command reached, because an exit code of 137 alone explains nothing.

Where the sandbox sees its control group, the kernel's counters report them, also for a command that survived.
What has no counter (open files, limits that a command set itself, processes under gVisor) is recognised by
the system's error messages: in the output of a command that failed, in the stderr of one that did not.
"""

from __future__ import annotations

import errno
import os
import resource

from .. import wire
from .own_limits import OwnLimits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .log import Log

MEMORY_EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
MEMORY_LIMIT = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
PROCESS_EVENTS = ("/sys/fs/cgroup/pids.events", "/sys/fs/cgroup/pids/pids.events")
PROCESS_LIMIT = ("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max")
CPU_EVENTS = ("/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu/cpu.stat")
CPU_LIMIT = ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
CPU_PERIOD = ("/sys/fs/cgroup/cpu/cpu.cfs_period_us",)

SEEN = 16 << 10
"""Bytes at the end of a command's output that are searched."""

PAGE = 4096
"""Bytes that are read of a file with counters."""

SETTERS = (b"ulimit", b"prlimit", b"setrlimit")
"""What a command can set a limit of one of its processes with."""

MANY_PERIODS = 5
"""Waiting for the processors is reported after this many periods (0.1 s each)."""


class Limits:
    """Reports the limits that were reached, by the counters of the sandbox's control group."""

    def __init__(self, workspace: str) -> None:
        self.disk: int | None = None
        """The limit of the root file system in bytes, or None."""
        self._folders = (workspace, "/tmp", "/run")  # noqa: S108 (inside the sandbox)
        self._memory = _Counter(MEMORY_EVENTS, b"oom_kill")
        self._processes = _Counter(PROCESS_EVENTS, b"max")
        self._cpu = _Counter(CPU_EVENTS, b"nr_throttled")
        self._own = OwnLimits()
        self._most_processes = resource.getrlimit(resource.RLIMIT_NPROC)[0]

    def reached(self, log: Log, failed: bool, shell: int, command: bytes) -> list[str]:
        """Return the limits reached since the last call, as sentences without a full stop.

        `log` is the command's output, `shell` the process that ran it.
        """
        words = self._own.restore()
        printed = log.tail(SEEN) if failed else log.tail(SEEN, wire.STDERR)
        sets = any(name in command for name in SETTERS)
        killed = self._memory.more() > 0
        if killed:
            words.append("out of memory: limit %s" % _size(_first_line(MEMORY_LIMIT)))
        words += self._processes_reached(printed, shell, sets)
        if self._cpu.more() >= MANY_PERIODS and failed:
            words.append("held back: limit %s" % _cpu_limit())
        if printed:
            words += self._said(printed, shell, killed, sets)
        if failed or printed:
            words += ["no space left in %s" % folder for folder in self._folders if _is_full(folder)]
        return words

    def _processes_reached(self, printed: bytes, shell: int, sets: bool) -> list[str]:
        """Return the limit of processes, by the counter or by the system's message in the output."""
        if self._processes.more() > 0:
            return ["too many processes: limit %s" % _process_limit()]
        if not _says(printed, errno.EAGAIN):
            return []
        processes = _own_limit(shell, resource.RLIMIT_NPROC)
        if processes not in ("unlimited", str(self._most_processes)):
            return ["too many processes: limit %s" % processes]
        if sets:
            return ["too many processes"]
        return [] if self._processes.exists else ["too many processes: limit %s" % _process_limit()]

    def _said(self, printed: bytes, shell: int, killed: bool, sets: bool) -> list[str]:
        """Return the limits that the system's messages in the output name.

        Without a number if the limit is one of a process (`sets`: the command may have set it) and not of
        the shell.
        """
        words = []
        if _says(printed, errno.EMFILE):
            files = _own_limit(shell, resource.RLIMIT_NOFILE)
            of_process = sets and files == str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
            words.append("too many open files" + ("" if of_process else ": limit %s" % files))
        if _says(printed, errno.ENOMEM) or b"MemoryError" in printed:
            address_space = _own_limit(shell, resource.RLIMIT_AS)
            if address_space != "unlimited":
                words.append("out of memory: limit %s per process" % _size(address_space))
            elif sets and not killed:
                words.append("out of memory")
        if _says(printed, errno.EFBIG) or b"File size limit exceeded" in printed:
            size = _own_limit(shell, resource.RLIMIT_FSIZE)
            words.append("file too large" + ("" if size == "unlimited" else ": limit %s" % _size(size)))
        if self.disk is not None and (_says(printed, errno.ENOSPC) or _says(printed, errno.EDQUOT)):
            words.append("no disk space left: limit %s" % _size(str(self.disk)))
        return words


class Memory:
    """Reports that processes were killed for lack of memory."""

    def __init__(self) -> None:
        self._killed = _Counter(MEMORY_EVENTS, b"oom_kill")

    def reached(self) -> list[str]:
        """Return the limit if it was reached since the last call, as in `Limits.reached`."""
        return (
            ["out of memory: limit %s" % _size(_first_line(MEMORY_LIMIT))] if self._killed.more() > 0 else []
        )


class _Counter:
    """A counter of the control group, in the first of some files that exists; read after every command."""

    def __init__(self, paths: tuple[str, ...], name: bytes) -> None:
        self._name = name + b" "
        self._fd = _open_first(paths)
        self._page = self._read()

    @property
    def exists(self) -> bool:
        """Whether the sandbox sees the file."""
        return self._fd is not None

    def more(self) -> int:
        """Return by how much it has grown since the last call."""
        before, self._page = self._page, self._read()
        return self._value(self._page) - self._value(before) if self._page != before else 0

    def _read(self) -> bytes:
        try:
            return os.pread(self._fd, PAGE, 0) if self._fd is not None else b""
        except OSError:
            return b""

    def _value(self, page: bytes) -> int:
        for line in page.split(b"\n"):
            if line.startswith(self._name) and line[len(self._name) :].isdigit():
                return int(line[len(self._name) :])
        return 0


def _open_first(paths: tuple[str, ...]) -> int | None:
    for path in paths:
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
    return None


def _read(paths: tuple[str, ...]) -> str:
    for path in paths:
        try:
            with open(path) as file:
                return file.read()
        except OSError:
            continue
    return ""


def _first_line(paths: tuple[str, ...]) -> str:
    return _read(paths).strip() or "unknown"


def _says(printed: bytes, number: int) -> bool:
    """Return whether the output contains the system's message for an error."""
    return os.strerror(number).encode() in printed


def _own_limit(shell: int, name: int) -> str:
    """Return a limit that a command may have set for its shell (`ulimit`, `prlimit`)."""
    try:
        limit = resource.prlimit(shell, name)[0]
    except OSError:  # the shell has ended
        limit = resource.getrlimit(name)[0]
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)


def _process_limit() -> str:
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    return _read(PROCESS_LIMIT).strip() or ("unknown" if limit == resource.RLIM_INFINITY else str(limit))


def _cpu_limit() -> str:
    """Return the share of processors, from `quota period` in one file (cgroup v2) or in two."""
    fields = (_read(CPU_LIMIT) + " " + _read(CPU_PERIOD)).split()
    try:
        return "%g CPUs" % (int(fields[0]) / int(fields[1]))
    except (ValueError, IndexError):
        return "unknown"


def _size(text: str) -> str:
    """Format bytes in the largest unit that divides them."""
    if not text.isdigit():
        return text
    value, units = int(text), ["bytes", "KiB", "MiB", "GiB"]
    while value % 1024 == 0 and value and len(units) > 1:
        value //= 1024
        units.pop(0)
    return "%d %s" % (value, units[0])


def _is_full(folder: str) -> bool:
    try:
        status = os.statvfs(folder)
    except OSError:
        return False
    return status.f_blocks > 0 and status.f_bavail * status.f_bsize < 4096
