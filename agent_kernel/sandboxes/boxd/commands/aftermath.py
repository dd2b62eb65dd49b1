"""Describes the sandbox after a failed command: the shell's directory, changed files, running processes."""

from __future__ import annotations

import os
import time

from .. import files
from ..handler import BoxHandler
from . import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..handler import BoxChannel
    from ..loop import Loop

MOST = 20
"""Files and processes that are named; the others are counted."""

SLACK = 0.01
"""Seconds by which the clock of a file system may be behind."""

LONGEST = 200
"""Characters of a path or a command line."""


WAIT = 2.0
"""Seconds to wait for a new shell to reach the last one's directory."""


class AftermathCall(BoxHandler):
    """Answers once with `describe`, on request or after `WAIT`."""

    def __init__(self, loop: Loop, channel: BoxChannel, describe: Callable[[], dict[str, Any]]) -> None:
        self.done = False
        self._channel = channel
        self._describe = describe
        self._timer = loop.after(WAIT, self.answer)

    def answer(self) -> None:
        """Answer the call, unless it was answered or the host is gone."""
        if not self.done:
            self.on_lost()
            self._channel.result(self._describe())

    def on_lost(self) -> None:
        """Stop waiting; the call gets no answer from now on."""
        self.done = True
        self._timer.cancel()


def start(seconds: float, last: float) -> float:
    """Return when a command began, in seconds of `time.time`.

    `seconds` is how long ago it began when the host asked, some time before now. `last` is when the last
    command began: this one, or a later one from another host.
    """
    return min(time.time() - seconds, last)


def describe(directory: str, shell_pid: int, path: str, since: float | None) -> dict[str, Any]:
    """Return `directory`, the files below `path` that changed after `since`, and the running processes.

    `since` None: no files are named.
    """
    changed = _changed(path, since) if since is not None else []
    running = _running(shell_pid)
    return {
        "directory": directory[:LONGEST],
        "changed": [name[:LONGEST] for name in changed[:MOST]],
        "changes": len(changed),
        "running": running[:MOST],
        "processes": len(running),
    }


def _changed(path: str, since: float) -> list[str]:
    oldest = (since - SLACK) * 1e9
    found = [each for each in files.list_files(path)["files"] if each["modified_ns"] >= oldest]
    return [each["path"] for each in sorted(found, key=lambda each: -each["modified_ns"])]


def _running(shell_pid: int) -> list[str]:
    """Return the command lines of the processes that commands have left running."""
    found = []
    for pid in sorted(processes.table()):
        job = processes.job_of(pid)
        if (
            pid in (1, os.getpid(), os.getppid(), shell_pid)
            or job is None
            or job.startswith(processes.PROGRAM)
        ):
            continue
        found.append("%d: %s" % (pid, _command_line(pid)))
    return found


def _command_line(pid: int) -> str:
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            text = file.read(4 * LONGEST).replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:  # it has just ended
        text = ""
    return text[:LONGEST] or "?"
