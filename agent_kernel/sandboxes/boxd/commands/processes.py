"""Finds the processes that belong to a command, and ends them.

Process groups miss what has left them by `setsid` or a double fork. So a command's processes are found by
descent from the shell, by the job number in their environment, and by their age.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

JOB_VARIABLE = "AGENT_KERNEL_JOB"
PROGRAM = "program/"
"""Begins the job number of a program (see `programs`). Ends of commands leave what belongs to one alone."""
_TICK = os.sysconf("SC_CLK_TCK")


class Moment:
    """A moment, to tell which processes started after it."""

    def __init__(self) -> None:
        self.ticks = int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICK)
        self.last_pid = _last_pid()
        self.living = frozenset() if self.last_pid else frozenset(_pids())  # gVisor has no newest pid


def _last_pid() -> int:
    """Return the newest pid of this pid namespace, or 0 if /proc does not have it."""
    try:
        fd = os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)  # before every command, so it must be fast
        try:
            return int(os.read(fd, 100).split()[4])
        finally:
            os.close(fd)
    except (OSError, ValueError, IndexError):
        return 0


class Process:
    """An entry of the process table."""

    def __init__(self, pid: int, parent: int, session: int, started: int) -> None:
        self.pid = pid
        self.parent = parent
        self.session = session
        self.started = started

    def younger_than(self, moment: Moment) -> bool:
        """Return whether it started after `moment`. Ticks are 10 ms, so pids decide within one tick."""
        if self.started != moment.ticks:
            return self.started > moment.ticks
        return self.pid > moment.last_pid and self.pid not in moment.living


def table() -> dict[int, Process]:
    """Return all living processes of the sandbox by pid, without zombies."""
    processes = {}
    for pid in _pids():
        try:
            with open("/proc/%d/stat" % pid, "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:  # it has just ended
            continue
        if fields[0] not in (b"Z", b"X"):
            processes[pid] = Process(pid, int(fields[1]), int(fields[3]), int(fields[19]))
    return processes


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def job_of(pid: int) -> str | None:
    """Return the job number in a process's environment, or None."""
    try:
        with open("/proc/%d/environ" % pid, "rb") as file:
            environment = file.read()
    except OSError:
        return None
    for entry in environment.split(b"\0"):
        if entry.startswith(JOB_VARIABLE.encode() + b"="):
            return entry.partition(b"=")[2].decode("ascii", "replace")
    return None


def of_job(job: str, shell_pid: int, since: Moment) -> list[int]:
    """Return the pids of the living processes that command `job` started, without the shell."""
    processes = table()
    young = {pid for pid, process in processes.items() if process.younger_than(since)}
    found = []
    for pid in young:
        if pid in (1, os.getpid(), shell_pid):
            continue
        root = pid
        while processes[root].parent in young and processes[root].parent != shell_pid:
            root = processes[root].parent
        parent = processes[root].parent
        if parent == shell_pid or job_of(pid) == job or (_orphan(parent) and job_of(root) is None):
            found.append(pid)
    return found


def _orphan(parent: int) -> bool:
    return parent in (0, 1, os.getpid())


def kill_round(job: str, shell_pid: int, since: Moment) -> bool:
    """Kill the processes of a command, and return whether there were any. Call it until there are none.

    Stop the shell before, so that it starts nothing more. One round misses processes that are just forking.
    """
    pids = of_job(job, shell_pid, since)
    for pid in pids:
        send(pid, signal.SIGKILL)
    return bool(pids)


def hang_up(session: int) -> None:
    """Send SIGHUP to every process of a terminal's session."""
    for process in table().values():
        if process.session == session:
            send(process.pid, signal.SIGHUP)


def send_all(number: int) -> None:
    """Send a signal to every process but boxd, repeatedly, because they may be forking."""
    reached: set[int] = set()
    while True:
        new = set(table()) - reached - {1, os.getpid()}
        if not new:
            return
        for pid in new:
            send(pid, number)
        reached |= new


def send(pid: int, number: int) -> None:
    """Send a signal to a process, which may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def default_signals() -> None:
    """Reset all signals in a child process, also those that were ignored when boxd was started.

    An ignored signal stays ignored in all descendants: a host started by `nohup` would have terminals that
    cannot be hung up.
    """
    for number in signal.valid_signals():
        if signal.getsignal(number) not in (signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
