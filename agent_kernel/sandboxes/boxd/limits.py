"""Limits of the sandbox that a command ran into, in words: a bare 137 helps nobody."""

from __future__ import annotations

import os

MEMORY_EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
MEMORY_LIMIT = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
PROCESS_EVENTS = ("/sys/fs/cgroup/pids.events", "/sys/fs/cgroup/pids/pids.events")
PROCESS_LIMIT = ("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max")


class Limits:
    """Counts how often the sandbox's own control group has refused something."""

    def __init__(self, workspace: str) -> None:
        self._folders = (workspace, "/tmp", "/run")  # noqa: S108 (the sandbox's own)
        self._killed = _counter(MEMORY_EVENTS, "oom_kill")
        self._refused = _counter(PROCESS_EVENTS, "max")

    def reached(self) -> list[str]:
        """What was reached since the last look, as sentences without a full stop."""
        words = []
        killed, refused = _counter(MEMORY_EVENTS, "oom_kill"), _counter(PROCESS_EVENTS, "max")
        if killed > self._killed:
            words.append("out of memory: limit %s" % _size(_first_line(MEMORY_LIMIT)))
        if refused > self._refused:
            words.append("too many processes: limit %s" % _first_line(PROCESS_LIMIT))
        self._killed, self._refused = killed, refused
        words.extend("no space left in %s" % folder for folder in self._folders if _is_full(folder))
        return words


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


def _size(text: str) -> str:
    """Bytes in the largest unit that divides them."""
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
