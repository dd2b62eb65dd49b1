"""Names the limits that a command reached, because an exit code of 137 alone explains nothing.

Where the sandbox sees its control group, the kernel's counters report them, also for a command that survived.
What has no counter (open files, limits that a command set itself, processes under gVisor) is recognised by
the system's error messages: in the output of a command that failed, in the stderr of one that did not.
"""

from __future__ import annotations

import errno
import operator
import os
import resource

from .. import wire

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

MANY_PERIODS = 5
"""Waiting for the processors is reported after this many periods (0.1 s each)."""


class Limits:
    """Reports the limits that were reached, by the counters of the sandbox's control group."""

    def __init__(self, workspace: str) -> None:
        self.disk: int | None = None
        """The limit of the root file system in bytes, or None."""
        self._folders = (workspace, "/tmp", "/run")  # noqa: S108 (inside the sandbox)
        self._counted = _counters()

    def reached(self, log: Log, failed: bool, shell: int) -> list[str]:
        """Return the limits reached since the last call, as sentences without a full stop.

        `log` is the command's output, `shell` the process that ran it.
        """
        words = []
        printed = log.tail(SEEN) if failed else log.tail(SEEN, wire.STDERR)
        before, self._counted = self._counted, _counters()
        killed, refused, held_back = map(operator.sub, self._counted, before)
        if killed > 0:
            words.append("out of memory: limit %s" % _size(_first_line(MEMORY_LIMIT)))
        if refused > 0 or (not _read(PROCESS_EVENTS) and _says(printed, errno.EAGAIN)):
            words.append("too many processes: limit %s" % _process_limit())
        if held_back >= MANY_PERIODS and failed:
            words.append("held back: limit %s" % _cpu_limit())
        if _says(printed, errno.EMFILE):
            words.append("too many open files: limit %s" % _own_limit(shell, resource.RLIMIT_NOFILE))
        address_space = _own_limit(shell, resource.RLIMIT_AS)
        if address_space != "unlimited" and (_says(printed, errno.ENOMEM) or b"MemoryError" in printed):
            words.append("out of memory: limit %s per process" % _size(address_space))
        if _says(printed, errno.EFBIG) or b"File size limit exceeded" in printed:
            size = _own_limit(shell, resource.RLIMIT_FSIZE)
            words.append("file too large" + ("" if size == "unlimited" else ": limit %s" % _size(size)))
        if self.disk is not None and (_says(printed, errno.ENOSPC) or _says(printed, errno.EDQUOT)):
            words.append("no disk space left: limit %s" % _size(str(self.disk)))
        full = [folder for folder in self._folders if _is_full(folder)] if failed or printed else []
        words.extend("no space left in %s" % folder for folder in full)
        return words


def _counters() -> tuple[int, int, int]:
    """Return how often memory ran out, processes were refused, and the processors were taken away."""
    return (
        _counter(MEMORY_EVENTS, "oom_kill"),
        _counter(PROCESS_EVENTS, "max"),
        _counter(CPU_EVENTS, "nr_throttled"),
    )


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


def _counter(paths: tuple[str, ...], name: str) -> int:
    for line in _read(paths).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdigit():
            return int(value)
    return 0


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
