"""Calls back when sockets have news: one registration in the event loop for all of them.

asyncio makes and drops a handle whenever a descriptor is watched for something else, and asks for it at every
turn. Here a descriptor is registered once, edge-triggered (epoll(7)): its callback hears of each change once.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import ClassVar
from weakref import WeakKeyDictionary

Told = Callable[[int], None]
"""Is called with the mask of what has come, which may be old: a call on the socket says what is so."""

_MOST = 64
"""Descriptors that are told in one turn of the event loop."""


class Edges:
    """The sockets that one event loop watches this way. Use `Edges.of(loop)`, in that loop.

    `watch` tells at once what is there already. After that, a callback must go on until the socket has no
    more, or takes no more: nothing is told twice. One that reads less than it asked for has read all, unless
    the mask has one of `ENDS`.
    """

    _of: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Edges]] = WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._epoll = select.epoll()
        self._told: dict[int, Told] = {}
        loop.add_reader(self._epoll.fileno(), self._tell)

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Edges:
        """Return the edges of an event loop, which has them until it is closed."""
        found = cls._of.get(loop)
        if found is None:
            found = cls._of[loop] = cls(loop)
        return found

    def watch(self, fd: int, told: Told) -> None:
        """Tell when there is something to read, or an end. Raises `OSError`."""
        self._epoll.register(fd, READS)
        self._told[fd] = told

    def change(self, fd: int, *, reads: bool, writes: bool) -> None:
        """Tell, or do not, of something to read, and of room in a descriptor that took no more.

        What is so already is told at once, and a failure in any case. Raises `OSError`.
        """
        self._epoll.modify(fd, (READS if reads else FAILURES) | (WRITES if writes else 0))

    def forget(self, fd: int) -> None:
        """Tell no more. Call it before the descriptor is closed. Idempotent."""
        if self._told.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _tell(self) -> None:
        for fd, mask in self._epoll.poll(0, _MOST):
            told = self._told.get(fd)
            if told is not None:
                told(mask)


ENDS = WRITES = READS = FAILURES = 0
if hasattr(select, "epoll"):  # nothing is handed over on other systems
    WRITES = select.EPOLLOUT
    ENDS = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
    FAILURES = select.EPOLLET
    READS = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
