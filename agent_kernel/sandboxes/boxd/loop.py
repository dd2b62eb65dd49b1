"""A small event loop: descriptors, deadlines and ended children. Everything in boxd is a callback."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import select
import selectors
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable


LONGEST_WAIT = 3600.0
"""The longest wait in seconds, because the system call has a limit."""


class Timer:
    """A deadline that can be cancelled."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Cancel it. Idempotent."""
        self.callback = None


def _events(mask: int) -> int:
    reads = select.EPOLLIN if mask & selectors.EVENT_READ else 0
    return reads | (select.EPOLLOUT if mask & selectors.EVENT_WRITE else 0)


def _ready(events: int) -> int:
    """Return the mask of what can be done: after an end or an error both, since either shows it."""
    reads = selectors.EVENT_READ if events & ~select.EPOLLOUT else 0
    return reads | (selectors.EVENT_WRITE if events & ~select.EPOLLIN else 0)


class Loop:
    """Calls back when a descriptor is ready, a deadline has passed or a child has ended, in one thread."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[int, Callable[[int], None]]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._children: dict[int, Callable[[int], None]] = {}
        self._stopped = False
        self._watch_children()

    def _watch_children(self) -> None:
        wake, self._wake = os.pipe()
        for end in (wake, self._wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, stack: None)
        self.watch(wake, selectors.EVENT_READ, lambda mask: self._reap(wake))

    def _reap(self, wake: int) -> None:
        while True:
            try:
                if not os.read(wake, 4096):
                    break
            except BlockingIOError:
                break
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            ended = self._children.pop(pid, None)
            if ended is not None:  # others are orphans, which process 1 inherits
                ended(status)

    def on_exit(self, pid: int, callback: Callable[[int], None]) -> None:
        """Call `callback(wait status)` once this child has ended."""
        self._children[pid] = callback

    def watch(self, fd: int, mask: int, callback: Callable[[int], None] | None) -> None:
        """Call `callback(ready mask)` whenever `fd` is ready; a mask of 0 stops that."""
        before = self._watched.get(fd)
        if not mask or callback is None:
            if before is not None:
                del self._watched[fd]
                with contextlib.suppress(OSError):  # it is closed already
                    self._epoll.unregister(fd)
            return
        if before is None:
            self._epoll.register(fd, _events(mask))
        elif before[0] != mask:
            self._epoll.modify(fd, _events(mask))
        self._watched[fd] = (mask, callback)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback()` once, `seconds` from now."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), timer))
        return timer

    def stop(self) -> None:
        """Let `run` return after the current callback."""
        self._stopped = True

    def run(self) -> None:
        """Run until `stop`."""
        while not self._stopped:
            told = self._epoll.poll(self._wait(), len(self._watched))
            for fd, events, before in [(fd, events, self._watched.get(fd)) for fd, events in told]:
                watched = self._watched.get(fd)
                # An earlier callback may have closed this descriptor, or given it to another.
                if watched is not None and before is not None and watched[1] == before[1]:
                    watched[1](_ready(events) & before[0])
            if self._timers:
                self._fire()

    def _wait(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return min(max(0.0, self._timers[0][0] - time.monotonic()), LONGEST_WAIT)

    def _fire(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
