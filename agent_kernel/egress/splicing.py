"""Carry a long download inside the kernel: its bytes go from one socket to another without a copy here.

The sandbox shares the program's socket, and can make such a call on it wait (splice(2) has no flag against
that). So each stretch is carried by a thread of its own, on descriptors of its own. If it waits when
the connection has ended, the program's socket is shut, which ends the wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

MOST = 4
"""Threads at once in this process. A sandbox can keep them for as long as its connections are open."""

PIECE = 1 << 20
"""Bytes that are moved at once, if the pipe between both sockets holds so many."""

PATIENCE = 0.05
"""Seconds that a thread waits for an end that has nothing, or takes nothing, before the event loop does."""

GRACE = 1.0
"""Seconds after `stop` in which a thread ends by itself, unless somebody makes it wait."""

_UNABLE = frozenset((errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP))
"""Errors of a system that does not move bytes between these sockets."""

_free = threading.BoundedSemaphore(MOST)


@dataclass(frozen=True)
class Stretch:
    """How a stretch ended: because one end had nothing or took nothing, or by an error.

    `rest` was counted and not passed on yet. `error` came from reading the source, or was raised by `count`,
    unless it was `writing`. `unable`: this system cannot do it.
    """

    rest: bytes = b""
    error: Exception | None = None
    writing: bool = False
    unable: bool = False


class Stretching:
    """A stretch under way. It has `opened`: both ends of a pipe, the source and the target."""

    def __init__(self, opened: list[int]) -> None:
        self.opened = opened
        self.stopped = False
        self._lock = threading.Lock()

    def stop(self) -> None:
        """End it soon, without a word to the program. Call it in the event loop."""
        self.stopped = True
        asyncio.get_running_loop().call_later(GRACE, self._shut)

    def _shut(self) -> None:
        with self._lock:
            if self.opened:
                with socket.socket(fileno=os.dup(self.opened[-1])) as target, contextlib.suppress(OSError):
                    target.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close what it has. The sandbox can make that wait."""
        with self._lock:
            opened, self.opened = self.opened, []
        for fd in opened:
            os.close(fd)


def begin(
    source: socket.socket,
    target: socket.socket,
    count: Callable[[int], None],
    ended: Callable[[Stretch], None],
) -> Stretching | None:
    """Begin to carry a stretch from `source` to `target` in a thread. None: it cannot be done now.

    `source` is non-blocking, and nobody else's. `count` is called in the thread, with bytes before they are
    passed on; what it raises ends the stretch. `ended` is called in the event loop, which may be closed.
    """
    if not hasattr(os, "splice") or not _free.acquire(blocking=False):
        return None
    opened: list[int] = []
    try:
        opened += os.pipe()
        opened += os.dup(source.fileno()), os.dup(target.fileno())
        with contextlib.suppress(OSError):  # this user has many large pipes already
            fcntl.fcntl(opened[0], fcntl.F_SETPIPE_SZ, PIECE)
        begun = Stretching(opened)
        work = (asyncio.get_running_loop(), begun, count, ended)
        threading.Thread(target=_carry, args=work, name="splice", daemon=True).start()
    except (OSError, RuntimeError):  # no more descriptors, or no more threads
        for fd in opened:
            os.close(fd)
        _free.release()
        return None
    return begun


def _carry(
    loop: asyncio.AbstractEventLoop,
    begun: Stretching,
    count: Callable[[int], None],
    ended: Callable[[Stretch], None],
) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPIPE])  # this thread's only
    try:
        stretch = _stretch(begun, count)
    except Exception as error:  # noqa: BLE001 (the loop raises it)
        stretch = Stretch(error=error)
    finally:
        begun.close()
        _free.release()
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(ended, stretch)


def _stretch(begun: Stretching, count: Callable[[int], None]) -> Stretch:
    """Carry bytes while both ends go on. Raises what reading from the source and `count` raise."""
    outlet, inlet, source, target = begun.opened
    arrives, leaves = select.poll(), select.poll()
    arrives.register(source, select.POLLIN)
    arrives.register(target, 0)  # its end, which is told in any case
    leaves.register(target, select.POLLOUT)
    waited = False
    while not begun.stopped:
        try:
            left = os.splice(source, inlet, PIECE, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            if waited or [fd for fd, _ in arrives.poll(PATIENCE * 1000)] != [source]:
                return Stretch()  # also at urgent data, which is there and is not moved
            waited = True
            continue
        except OSError as error:
            if error.errno in _UNABLE:
                return Stretch(unable=True)
            raise
        waited = False
        if not left:  # its end, which the event loop will read once more
            return Stretch()
        count(left)
        ended = _pass_on(outlet, target, left, leaves)
        if ended is not None:
            return ended
    return Stretch()


def _pass_on(outlet: int, target: int, left: int, leaves: select.poll) -> Stretch | None:
    """Move what is in the pipe on to the target. Return how the stretch ends if that is not possible."""
    while left:
        try:
            left -= os.splice(outlet, target, left, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            if not leaves.poll(PATIENCE * 1000):
                return Stretch(rest=_read(outlet, left))
        except OSError as error:
            if error.errno in _UNABLE:
                return Stretch(rest=_read(outlet, left), unable=True)
            return Stretch(error=error, writing=True)
    return None


def _read(outlet: int, left: int) -> bytes:
    pieces = []
    while left:
        pieces.append(os.read(outlet, left))
        left -= len(pieces[-1])
    return b"".join(pieces)
