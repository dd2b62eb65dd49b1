"""Collects what a cell prints: all that is written to descriptors 1 and 2, also by other processes."""

from __future__ import annotations

import codecs
import collections
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

_F_SETPIPE_SZ = 1031
_PIPE = 1 << 20
_CHUNK = 1 << 16


class Kept:
    """A text of which only the head and the tail are kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head: list[str] = []
        self._head_room = limit - limit // 2
        self._tail: collections.deque[str] = collections.deque()
        self._tail_length = 0
        self._total = 0

    def add(self, text: str) -> None:
        """Add to the end."""
        self._total += len(text)
        head, text = text[: self._head_room], text[self._head_room :]
        if head:
            self._head_room -= len(head)
            self._head.append(head)
        text = text[-(self._limit // 2) :]
        if text:
            self._tail.append(text)
            self._tail_length += len(text)
            while self._tail_length - len(self._tail[0]) >= self._limit // 2:
                self._tail_length -= len(self._tail.popleft())

    def text(self) -> str:
        """Return it, with a line about what is left out."""
        head, tail = "".join(self._head), "".join(self._tail)
        tail = tail[-(self._limit // 2) :]
        left_out = self._total - len(head) - len(tail)
        if not left_out:
            return head + tail
        return f"{head}\n[... {left_out} characters left out ...]\n{tail}"


class Capture:
    """Reads both outputs in a thread, so that no cell waits for a reader. `limit` is in characters."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: Kept | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()
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

    def begin(self) -> None:
        """Begin a cell. What was printed since the last one belongs to no cell."""
        self._restore()
        self._drain()
        with self._lock:
            self._kept = Kept(self._limit)

    def add(self, text: str) -> None:
        """Add a text behind all that was printed so far."""
        self.flush()
        self._drain()
        with self._lock:
            if self._kept is not None:
                self._kept.add(text)

    def end(self) -> str:
        """End the cell and return what was printed. Threads that still run belong to it for ever."""
        self.flush()
        self._drain()
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                self._old.add(thread)
        with self._lock:
            kept, self._kept = self._kept, None
        if self.dropped:
            note = f"[{self.dropped} characters that threads of earlier cells printed are left out]\n"
            self.dropped = 0
            if kept is not None:
                kept.add(note)
        return kept.text() if kept is not None else ""

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
        if os.getpid() != self._pid:
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
        if self._kept is not None:
            self._kept.add(text)
        return len(data)


class _Output(io.TextIOWrapper):
    """`sys.stdout` or `sys.stderr`. Threads of ended cells print nothing."""

    def __init__(self, capture: Capture, number: int) -> None:
        raw = io.FileIO(number, "w", closefd=False)
        super().__init__(
            io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True
        )
        self._capture = capture

    def write(self, text: str) -> int:
        if self._capture.is_old():
            self._capture.dropped += len(text)
            return len(text)
        return super().write(text)

    def isatty(self) -> bool:
        return False
