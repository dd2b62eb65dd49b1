"""The named pipes that take a command's outputs. The next command gets the same ones if they are free."""

from __future__ import annotations

import os

from .. import wire
from .plain import identity, is_in_place, make_way

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..loop import Loop

FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


class OutputPipe:
    """A new named pipe at `path`. It keeps a writer, so that it stays open between two writers."""

    def __init__(self, path: str) -> None:
        make_way(path)
        os.mkfifo(path, 0o600)
        self._path = path
        self.reader = os.open(path, os.O_RDONLY | FLAGS)
        self._writer = os.open(path, os.O_WRONLY | FLAGS)
        self._made = identity(self.reader)

    def in_place(self) -> bool:
        """Return whether the path still names this pipe."""
        return is_in_place(self._path, self._made)

    def release(self) -> bool:
        """Give up the writer after a command. Take it back and return True if no process has another.

        A pipe that still holds bytes is not free either.
        """
        os.close(self._writer)
        self._writer = -1
        try:
            if os.read(self.reader, 1):
                return False
            self._writer = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | FLAGS)
        except OSError:  # BlockingIOError: a background process holds it; else the path has gone
            return False
        return identity(self._writer) == self._made

    def close(self, loop: Loop) -> None:
        """Stop watching, and close both ends."""
        loop.watch(self.reader, 0, None)
        os.close(self.reader)
        if self._writer >= 0:
            os.close(self._writer)


class Outputs:
    """Hands out one pipe for each stream of a command."""

    def __init__(self, loop: Loop, run: str) -> None:
        self._loop = loop
        self._paths = {wire.STDOUT: os.path.join(run, "out"), wire.STDERR: os.path.join(run, "err")}
        self._free: dict[int, OutputPipe] = {}

    def take(self) -> dict[int, OutputPipe]:
        """Return a pipe for each stream. Raises `OSError`, also if the folder is missing."""
        pipes: dict[int, OutputPipe] = {}
        try:
            for stream, path in self._paths.items():
                pipes[stream] = self._take(stream, path)
        except OSError:
            self._free.update(pipes)  # or each failed start would leave two descriptors open
            raise
        return pipes

    def _take(self, stream: int, path: str) -> OutputPipe:
        pipe = self._free.pop(stream, None)
        if pipe is not None:
            if pipe.in_place():
                return pipe
            pipe.close(self._loop)
        return OutputPipe(path)

    def give_back(self, stream: int, pipe: OutputPipe) -> bool:
        """Take a pipe after a command. Return False if processes still write to it: the caller keeps it."""
        if not pipe.release():
            return False
        self._free[stream] = pipe
        return True
