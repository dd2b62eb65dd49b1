"""A command that the shell runs: its text, its outputs and its outcome."""

from __future__ import annotations

import os
import selectors
import struct
import termios
from fcntl import ioctl

from .. import wire
from . import processes
from .log import Log
from .logfile import LogFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..loop import Loop, Timer
    from .outputs import OutputPipe, Outputs


class Job:
    """A command in the shell. Its outputs go to `log`; `on_change` is called when there is more to report."""

    def __init__(self, number: int, command: bytes, timeout: float | None) -> None:
        self.number = str(number)
        self.name: str | None = None
        self.command = command
        self.timeout = timeout
        self.log = Log()
        self.file: LogFile | None = None
        self.outcome: dict[str, Any] | None = None
        self.reason: str | None = None
        self.timer: Timer | None = None
        self.on_change: Callable[[], None] = lambda: None
        self.on_taken: Callable[[], None] = lambda: None
        self.since: processes.Moment  # its start
        self._pipes: dict[int, OutputPipe] = {}
        self._throttled = False
        self._sealed = False

    def open_outputs(self, loop: Loop, outputs: Outputs, log_folder: str) -> None:
        """Read the outputs from named pipes. Raises `OSError`."""
        self._loop = loop
        self._outputs = outputs
        self._log_folder = log_folder
        self._pipes = outputs.take()
        for stream, pipe in self._pipes.items():
            self._watch(stream, pipe)

    def _watch(self, stream: int, pipe: OutputPipe) -> None:
        mask = 0 if self._throttled else selectors.EVENT_READ
        self._loop.watch(pipe.reader, mask, lambda mask: self._readable(stream, pipe))

    def throttle(self, on: bool) -> None:
        """Stop reading the outputs, or go on. While stopped, the pipes fill and the command waits."""
        if self._throttled != on:
            self._throttled = on
            for stream, pipe in self._pipes.items():
                self._watch(stream, pipe)

    def _readable(self, stream: int, pipe: OutputPipe) -> None:
        try:
            payload = os.read(pipe.reader, wire.CHUNK)
        except BlockingIOError:
            return
        if not payload:
            pipe.close(self._loop)
            del self._pipes[stream]
        elif self.outcome is None and not self._sealed:  # later output of background processes is dropped
            self._append(stream, payload)
            self.on_change()

    def seal(self) -> None:
        """Take only the output so far: the shell's messages about killed processes follow."""
        self._sealed = True
        for stream, pipe in self._pipes.items():
            self._drain(stream, pipe.reader)

    def end(self, outcome: dict[str, Any]) -> None:
        """Take the rest of the outputs and set the outcome, with the path of the log file if there is one."""
        if self.timer is not None:
            self.timer.cancel()
        if not self._sealed:
            for stream, pipe in self._pipes.items():
                self._drain(stream, pipe.reader)
        path = self.file.end() if self.file is not None else None
        if path is not None:
            outcome["log"] = path
        self.outcome = outcome
        self.throttle(False)

    def release_outputs(self) -> None:
        """Release the pipes that no process writes to any more."""
        for stream, pipe in list(self._pipes.items()):
            if self._outputs.give_back(stream, pipe):
                del self._pipes[stream]

    def _drain(self, stream: int, fd: int) -> None:
        """Take what the command had written when it ended. Another process may still be writing."""
        left: int = struct.unpack("i", ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))[0]
        while left > 0:
            payload = os.read(fd, min(left, wire.CHUNK))
            self._append(stream, payload)
            left -= len(payload)

    def _append(self, stream: int, payload: bytes) -> None:
        self.log.append(stream, payload)
        if self.file is None:
            self.file = LogFile(self._log_folder, self.number)
        self.file.take(self.log, payload)
