"""Descriptors that a sandbox gives to the host: kept until the frames that they belong to, and closed apart.

The sandbox can make the last close of a socket wait for as long as it likes (SO_LINGER), so the event loop
closes none. Each sandbox waits for its own descriptors only.
"""

from __future__ import annotations

import array
import os
import threading
import time
from collections import deque

from agent_kernel.errors import ChannelBroken
from agent_kernel.sandboxes.boxd import wire

_MOST_KEPT = 64
"""Descriptors that wait for the frames they belong to."""

_GATHER = 0.02
"""Seconds between two rounds of closing: waking a thread for each connection costs more than its bytes."""

_STUCK = 10.0
"""Seconds that one close may take."""

_MOST_STUCK = 16
"""Sandboxes whose descriptors cannot be closed, before this process takes no more from any sandbox."""

_closing: set[Descriptors] = set()


class Descriptors:
    """The descriptors of one sandbox. Use it in one thread."""

    def __init__(self) -> None:
        self._kept: deque[int | None] = deque()
        self._to_close: list[int] = []
        self._lock = threading.Lock()
        self._began = float("inf")

    def keep(self, rights: list[bytes]) -> None:
        """Keep the descriptor of one frame. A process that has too many open gets none, and notes that.

        Raises `ChannelBroken` for descriptors that belong to nothing.
        """
        came = array.array("i")
        for each in rights:
            came.frombytes(each[: len(each) - len(each) % came.itemsize])
        self._kept += came or [None]
        if len(came) > 1 or len(self._kept) > _MOST_KEPT:
            raise ChannelBroken("The sandbox sent descriptors that belong to no connection.")

    def take(self) -> int | None:
        """Return the descriptor that came with the oldest frame that has one; it is the caller's.

        None if this process could not take it. Raises `WireError` if there is no such frame, or if earlier
        ones cannot be closed.
        """
        if not self._kept:
            raise wire.WireError("a call without the descriptor that it names")
        if self.stuck:
            raise wire.WireError("earlier descriptors cannot be closed")
        return self._kept.popleft()

    def close(self, fd: int) -> None:
        """Close a descriptor a moment later."""
        with self._lock:
            self._to_close.append(fd)
            if self in _closing:
                return
            _closing.add(self)
        threading.Thread(target=self._close_all, name="close", daemon=True).start()

    def close_kept(self) -> None:
        """Close those that belong to no frame: the stream has ended."""
        while self._kept:
            if (fd := self._kept.popleft()) is not None:
                self.close(fd)

    @property
    def stuck(self) -> bool:
        """Whether a descriptor cannot be closed."""
        return time.monotonic() - self._began > _STUCK

    def _close_all(self) -> None:
        while True:
            time.sleep(_GATHER)
            with self._lock:
                to_close, self._to_close = self._to_close, []
                if not to_close:
                    _closing.discard(self)
                    return
            for fd in to_close:
                self._began = time.monotonic()
                os.close(fd)
                self._began = float("inf")


def may_take() -> bool:
    """Return whether this process can take descriptors of one more sandbox."""
    return sum(each.stuck for each in tuple(_closing)) < _MOST_STUCK
