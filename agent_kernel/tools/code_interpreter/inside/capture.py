"""Collects what a cell prints: all that is written to descriptors 1 and 2, also by other processes.

Both share one pipe, which keeps their order. What Python code of the session itself writes to `sys.stderr` is
known to be that; all else counts as `stdout`.
"""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import io
import os
import select
import struct
import sys
import termios
import threading
import weakref

from agent_kernel.tools.code_interpreter.inside.record import CellRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_F_SETPIPE_SZ = 1031
_PIPE = 1 << 20
_CHUNK = 1 << 16


class Capture:
    """Reads both outputs in a thread, so that no cell waits for a reader."""

    def __init__(self) -> None:
        self._record: CellRecord | None = None
        self._pid = os.getpid()
        self._lock = threading.RLock()  # a finaliser may print at any time
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._reader, self._writer = os.pipe()  # one for both outputs, which keeps their order
        os.set_blocking(self._reader, False)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._writer, _F_SETPIPE_SZ, _PIPE)
        self._old: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self.dropped = 0
        self._restore()
        threading.Thread(target=self._read, name="agent-kernel output", daemon=True).start()

    def _restore(self) -> None:
        """Put the outputs back in place: a cell may have closed or replaced them."""
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(self._writer, number)
            stream = getattr(sys, name)
            if not isinstance(stream, _Output) or stream.closed:
                setattr(sys, name, _Output(self, number))
                setattr(sys, f"__{name}__", getattr(sys, name))

    def begin(self, record: CellRecord) -> None:
        """Begin a cell. What was printed since the last one belongs to no cell."""
        self._restore()
        self._drain()
        with self._lock:
            self._record = record

    def add(self, act: Callable[[CellRecord], None]) -> None:
        """Add to the record, behind all that was printed so far. `act` must not run code of a cell."""
        if not self.is_here:  # its memory is not the session's
            return
        self.flush()
        self._drain()
        with self._lock:
            if self._record is not None:
                act(self._record)

    def say(self, text: str) -> None:
        """Add a text to what was printed as errors."""
        self.add(lambda record: record.text("stderr", text))

    def end(self) -> None:
        """End the cell. Threads that still run belong to it for ever."""
        self.flush()
        self._drain()
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                self._old.add(thread)
        if self.dropped:
            note = f"[{self.dropped} characters that threads of earlier cells printed are left out]\n"
            self.dropped = 0
            self.say(note)
        with self._lock:
            self._record = None

    @property
    def is_here(self) -> bool:
        """Whether this is the session's own process, and no fork of it."""
        return os.getpid() == self._pid

    def is_old(self) -> bool:
        """Return whether the calling thread belongs to a cell that has ended."""
        return threading.current_thread() in self._old

    def flush(self) -> None:
        """Flush the streams, whatever a cell has put in their place."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()

    def _drain(self) -> None:
        """Take all that is written now. What a fork of the session writes is read by the session."""
        if not self.is_here:
            return
        with self._lock:
            left: int = struct.unpack("i", fcntl.ioctl(self._reader, termios.FIONREAD, b"\0\0\0\0"))[0]
            while left > 0 and (taken := self._take()):
                left -= taken

    def _read(self) -> None:
        while True:
            select.select([self._reader], [], [])
            with self._lock:
                self._take()

    def _take(self) -> int:
        """Read once and keep the text of a cell. Return the number of bytes."""
        try:
            data = os.read(self._reader, _CHUNK)
        except BlockingIOError:  # another thread was faster
            return 0
        text = self._decoder.decode(data)
        if self._record is not None:
            self._record.text("stdout", text)
        return len(data)


class _Output(io.TextIOWrapper):
    """`sys.stdout` or `sys.stderr`. Threads of ended cells print nothing."""

    def __init__(self, capture: Capture, number: int) -> None:
        raw = io.FileIO(number, "w", closefd=False)
        super().__init__(
            io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True
        )
        self._capture = capture
        self._is_stderr = number == 2

    def write(self, text: str) -> int:
        if self._capture.is_old():
            self._capture.dropped += len(text)
            return len(text)
        if self._is_stderr and self._capture.is_here and isinstance(text, str):
            self._capture.say(text.encode("utf-8", "backslashreplace").decode("utf-8"))
            return len(text)
        return super().write(text)

    def isatty(self) -> bool:
        return False
