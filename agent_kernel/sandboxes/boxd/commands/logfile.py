"""A file inside the sandbox with the whole output of a command, for outputs longer than a response shows.

A short output has no file. Of a very long one, the file keeps the head and the tail.
"""

from __future__ import annotations

import contextlib
import os

from .plain import create_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .log import Log

FROM = 32 << 10
HEAD = 2 << 20
TAIL = 1 << 20
KEPT = 8
"""The number of files to keep. With `HEAD` and `TAIL`, they take at most 32 MiB together."""


class LogFile:
    """Writes a job's output (both streams, in the order they came) once there are more than `FROM` bytes."""

    def __init__(self, folder: str, number: str) -> None:
        self.path = os.path.join(folder, number + ".log")
        self._folder = folder
        self._file: Any = None
        self._broken = False
        self._written = 0
        self._older, self._newer = bytearray(), bytearray()

    def take(self, log: Log, payload: bytes) -> None:
        """Write a piece that was just appended to `log`."""
        if self._broken or log.end < FROM:
            return
        if self._file is None:
            payload = b"".join(log.pieces())
            if not self._open():
                return
        self._write(payload)

    def _open(self) -> bool:
        try:
            os.makedirs(self._folder, exist_ok=True)
            kept = sorted(os.scandir(self._folder), key=lambda entry: entry.stat().st_mtime_ns)
            for entry in kept[: max(0, len(kept) - KEPT + 1)]:
                os.unlink(entry.path)
            self._file = os.fdopen(create_file(self.path), "wb")
        except OSError:
            self._broken = True
        return not self._broken

    def _write(self, payload: bytes) -> None:
        head = payload[: max(0, HEAD - self._written)]
        self._written += len(payload)
        if head:
            try:
                self._file.write(head)
            except OSError:  # the file system is full: the log ends here
                self._broken = True
        self._newer += payload[len(head) :]
        if len(self._newer) > TAIL:
            self._older, self._newer = self._newer, bytearray()

    def end(self) -> str | None:
        """Close the file and return its path, or None if there is none."""
        if self._file is None:
            return None
        with contextlib.suppress(OSError):
            tail = (self._older + self._newer)[-TAIL:]
            left_out = self._written - HEAD - len(tail)
            if left_out > 0:
                self._file.write(b"\n[... %d bytes left out ...]\n" % left_out)
            self._file.write(tail)
        with contextlib.suppress(OSError):
            self._file.close()
        return self.path
