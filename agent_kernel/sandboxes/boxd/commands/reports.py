"""The named pipe through which bash reports the end of a command."""

from __future__ import annotations

import os
import selectors

from .plain import identity, is_in_place, make_way

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from ..loop import Loop

LONGEST = 4096


class Reports:
    """Reads lines from a named pipe. Any process of the sandbox can write there, or remove it."""

    def __init__(self, loop: Loop, path: str, on_report: Callable[[bytes], None]) -> None:
        self._loop = loop
        self._path = path
        self._on_report = on_report
        self._fd = -1
        self._rest = b""
        self._made = (0, 0)

    def open(self) -> None:
        """Make the pipe, and its folder, if it is not there. Raises `OSError`."""
        if self._fd >= 0 and is_in_place(self._path, self._made):
            return
        self._close()
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        make_way(self._path)
        os.mkfifo(self._path, 0o600)
        self._fd = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._made = identity(self._fd)
        self._loop.watch(self._fd, selectors.EVENT_READ, lambda mask: self.read())

    def _close(self) -> None:
        if self._fd >= 0:
            self._loop.watch(self._fd, 0, None)
            os.close(self._fd)
            self._fd = -1

    def read(self) -> None:
        """Take what has been written."""
        try:
            self._rest += os.read(self._fd, 64 << 10)
        except BlockingIOError:
            return
        *lines, self._rest = self._rest.split(b"\n")
        self._rest = self._rest[-LONGEST:]
        for line in lines:
            self._on_report(line)
