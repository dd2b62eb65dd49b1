"""Carry a stretch of a long download in a thread, which waits for the sockets itself.

The event loop needs two system calls, and several objects, to hear of each piece; a thread needs none while
bytes come as fast as they go. The sandbox shares the program's socket, so each call says itself that it must
not wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from agent_kernel.sandboxes.near.program_socket import NOW

MOST = 4
"""Threads at once in this process. A sandbox can keep them for as long as its connections are open."""

PIECE = 2 << 20
"""Bytes that are read at once, at most."""

PATIENCE = 0.05
"""Seconds that a thread waits for an end that has nothing, or takes nothing, before the event loop does."""

_free = threading.BoundedSemaphore(MOST)


@dataclass(frozen=True)
class Stretch:
    """How a stretch ended: because one end had nothing or took nothing, or by an error.

    `rest` was counted and not passed on yet. `error` came from reading the source, or was raised by `count`,
    unless it was `writing`.
    """

    rest: bytes = b""
    error: Exception | None = None
    writing: bool = False


class Stretching:
    """A stretch under way between two sockets, which are its own."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.stopped = False
        self._lock = threading.Lock()  # so that no other socket gets the descriptor of one that is shut

    def stop(self) -> None:
        """End it now, and the connection to the source with it, without a word to the target."""
        self.stopped = True
        with self._lock, contextlib.suppress(OSError):  # it is broken, or the thread has ended
            self.source.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close both sockets. The sandbox can make that wait."""
        with self._lock:
            self.source.close()
        self.target.close()


def begin(
    source: socket.socket,
    target: socket.socket,
    rest: bytes | memoryview,
    count: Callable[[int], None],
    ended: Callable[[Stretch], None],
) -> Stretching | None:
    """Begin to carry a stretch from `source` to `target` in a thread. None: it cannot be done now.

    Nobody else may read `source`. `rest` goes first, and is counted already. `count` is called in the thread,
    with bytes before they are passed on; what it raises ends the stretch. `ended` is called in the event
    loop, which may be closed.
    """
    if not _free.acquire(blocking=False):
        return None
    with contextlib.ExitStack() as opened:
        opened.callback(_free.release)
        try:
            begun = Stretching(opened.enter_context(source.dup()), opened.enter_context(target.dup()))
            work = (asyncio.get_running_loop(), begun, memoryview(bytes(rest)), count, ended)
            threading.Thread(target=_carry, args=work, name="stretch", daemon=True).start()
        except (OSError, RuntimeError):  # no more descriptors, or no more threads
            return None
        opened.pop_all()  # the thread closes them
    return begun


def _carry(
    loop: asyncio.AbstractEventLoop,
    begun: Stretching,
    rest: memoryview,
    count: Callable[[int], None],
    ended: Callable[[Stretch], None],
) -> None:
    try:
        stretch = _stretch(begun, rest, count)
    except Exception as error:  # noqa: BLE001 (the loop raises it)
        stretch = Stretch(error=error)
    finally:
        begun.close()
        _free.release()
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(ended, stretch)


def _stretch(begun: Stretching, rest: memoryview, count: Callable[[int], None]) -> Stretch:
    """Carry bytes while both ends go on. Raises what reading from the source and `count` raise."""
    source, target = begun.source, begun.target
    arrives, leaves = select.poll(), select.poll()
    arrives.register(source, select.POLLIN)
    arrives.register(target, 0)  # its end, which is told in any case
    leaves.register(target, select.POLLOUT)
    leaves.register(source, 0)
    buffer = memoryview(bytearray(PIECE))
    ended = _pass_on(begun, rest, leaves)
    waited = False
    while ended is None and not begun.stopped:
        try:
            size = source.recv_into(buffer, 0, NOW)
        except BlockingIOError:
            if waited or [fd for fd, _ in arrives.poll(PATIENCE * 1000)] != [source.fileno()]:
                return Stretch()  # also at urgent data, which is there and is not moved
            waited = True
            continue
        waited = False
        if not size:  # its end, which the event loop will read once more
            return Stretch()
        count(size)
        ended = _pass_on(begun, buffer[:size], leaves)
    return ended or Stretch()


def _pass_on(begun: Stretching, piece: memoryview, leaves: select.poll) -> Stretch | None:
    """Send a piece to the target. Return how the stretch ends if that is not possible."""
    while piece and not begun.stopped:
        try:
            piece = piece[begun.target.send(piece, NOW) :]
        except BlockingIOError:
            if not leaves.poll(PATIENCE * 1000):
                return Stretch(rest=bytes(piece))
        except OSError as error:
            return Stretch(error=error, writing=True)
    return None
