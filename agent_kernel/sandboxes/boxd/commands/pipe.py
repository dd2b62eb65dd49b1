"""The pipe that bash reads its script from, byte by byte."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import struct
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from ..loop import Loop, Timer

_F_SETPIPE_SZ = 1031
_SIZE = 4096

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0


class ScriptPipe:
    """Sends lines to bash, and reports when bash has finished one, whatever the line did.

    The pipe has room for one buffer. It is writable again when bash has read a line to its end, and bash then
    runs it. A blank that is written then is read only when bash asks for the next line.
    """

    def __init__(self, loop: Loop, on_done: Callable[[], None]) -> None:
        self._loop = loop
        self._on_done = on_done
        self.reader, self._writer = os.pipe()
        self._blank = False
        self._pause = FIRST_PAUSE
        self._again: Timer | None = None
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._writer, _F_SETPIPE_SZ, _SIZE)

    def say(self, line: str) -> None:
        """Send a line. Call this only when bash waits for one."""
        with contextlib.suppress(BrokenPipeError):  # the shell has just ended
            os.write(self._writer, line.encode() + b"\n")
        self._blank = False
        self._pause = FIRST_PAUSE
        self._watch()

    def _watch(self) -> None:
        self._again = None
        self._loop.watch(self._writer, selectors.EVENT_WRITE, lambda mask: self._writable())

    def _writable(self) -> None:
        left: int = struct.unpack("i", fcntl.ioctl(self._writer, termios.FIONREAD, b"\0\0\0\0"))[0]
        if left:  # gVisor's pipes are writable as long as they have room, so only a look shows the end
            self.quiet()
            self._again = self._loop.after(self._pause, self._watch)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        elif self._blank:
            self.quiet()
            self._on_done()
        else:
            self._blank = True
            try:
                os.write(self._writer, b" ")
            except BrokenPipeError:  # the shell has just ended
                self.quiet()

    def quiet(self) -> None:
        """Do not report the end of this line."""
        self._loop.watch(self._writer, 0, None)
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def close(self) -> None:
        """End the script, so that bash leaves. Idempotent."""
        if self._writer >= 0:
            self.quiet()
            os.close(self._writer)
            self._writer = -1
