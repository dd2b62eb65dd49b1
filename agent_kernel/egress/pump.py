"""Carry the bytes of one connection between two sockets: a program's and a server's.

Each direction is a chain of callbacks of the event loop: a task and a future for each piece would cost more
than the bytes do.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from functools import partial

from agent_kernel.egress.gate import Gate
from agent_kernel.sandboxes.near.program_socket import NOW, ProgramSocket

LARGEST, LEAST, HELD = 1 << 20, 32 << 10, 16 << 20
"""Bytes of one direction's buffer, at most and at first, and of all that have grown."""

_PIECES = 2
"""Pieces that are carried at once, before other connections have their turn."""


class Pump:
    """A connection of the program at `inside` to a server at the other end of `outside`.

    Each direction ends by itself (half-close). A reader that is slow pauses the writer at the other end.
    """

    running = 0

    def __init__(
        self, inside: ProgramSocket, outside: socket.socket, gate: Gate, count: Callable[[int, int], None]
    ) -> None:
        self._inside = inside
        self._outside = outside
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def sent(data: memoryview) -> bytes:
            passed = gate.feed(bytes(data)) if data else gate.end()
            if passed:
                count(len(passed), 0)
            return passed

        def received(data: memoryview) -> memoryview:
            count(0, len(data))
            return data

        self._up = _Way(inside.socket, outside, sent, self._advance)
        self._down = _Way(outside, inside.socket, received, self._advance)

    async def run(self) -> None:
        """Carry bytes until both directions have ended, and close the server's socket.

        Raises what the gate and `count` raise, and `OSError` when the server breaks the connection.
        """
        Pump.running += 1
        try:
            self._down.watch(reads=True)
            self._advance(self._up)
            await self._done
        finally:
            Pump.running -= 1
            self._stop()
            self._inside.ended = self._up.all_read
            self._outside.close()

    def _stop(self) -> None:
        self._up.watch()
        self._down.watch()

    def _advance(self, way: _Way) -> None:
        if self._done.done():
            return
        try:
            way.advance()
        except BrokenEnd as broken:
            self._broken(way, broken)
        except Exception as error:  # noqa: BLE001 (`run` raises it)
            self._done.set_exception(error)
        else:
            if self._up.ended and self._down.ended:
                self._done.set_result(None)

    def _broken(self, way: _Way, broken: BrokenEnd) -> None:
        if (way is self._up) == broken.reading:  # the program has: its task is about to be cancelled
            self._stop()
            self._inside.left()
        elif way is self._up and self._down.ended:  # the server is done, and takes not even TLS's goodbye
            self._done.set_result(None)
        else:
            self._done.set_exception(broken.error)


class BrokenEnd(Exception):
    """An end of a connection has broken it: the one that was read, or the one that was written to."""

    def __init__(self, error: OSError, *, reading: bool) -> None:
        super().__init__(error)
        self.error = error
        self.reading = reading


class _Way:
    """One direction. `check` returns what may be passed on; it gets nothing when the source has ended.

    `go(way)` is called when it can go on, and calls `advance`.
    """

    def __init__(
        self,
        source: socket.socket,
        target: socket.socket,
        check: Callable[[memoryview], bytes | memoryview],
        go: Callable[[_Way], None],
    ) -> None:
        self.all_read = False
        self.ended = False
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._target = target
        self._check = check
        self._go = partial(go, self)
        self._buffer = memoryview(b"")
        self._size = LEAST
        self._rest: bytes | memoryview = b""
        self._full = False
        self._reads = self._writes = False

    def advance(self) -> None:
        """Carry what is there, up to some pieces, and watch for more.

        Raises `BrokenEnd`, and what `check` raises.
        """
        for _ in range(_PIECES):
            if not self._rest and not self._read():
                break
            if self._rest and not self._send():
                self.watch(writes=True)
                return
            if self.all_read:
                self._end()
                return
            if not self._full:
                break  # there was no more, most likely: the loop tells
        self.watch(reads=True)

    def _read(self) -> bool:
        """Read a piece. Return whether there was one, or the end of all."""
        most = max(LEAST, min(self._size, HELD // max(1, Pump.running)))
        if len(self._buffer) != most:
            self._buffer = memoryview(bytearray(most))
        try:
            size = self._source.recv_into(self._buffer, 0, NOW)
        except BlockingIOError:
            self._buffer, self._size = memoryview(b""), LEAST  # an idle connection holds no memory
            return False
        except OSError as error:
            raise BrokenEnd(error, reading=True) from None
        self.all_read = not size
        self._full = size == most
        if self._full:
            self._size = min(2 * size, LARGEST)
        self._rest = self._check(self._buffer[:size])
        if size < most // 2:
            self._buffer, self._size = memoryview(b""), most // 2
        return True

    def _send(self) -> bool:
        """Send what was read. Return whether all of it is sent."""
        try:
            sent = self._target.send(self._rest, NOW)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise BrokenEnd(error, reading=False) from None
        self._rest = memoryview(self._rest)[sent:]
        return not self._rest

    def _end(self) -> None:
        self.ended = True
        self.watch()
        with contextlib.suppress(OSError):  # it is broken already, which the other direction reports
            self._target.shutdown(socket.SHUT_WR)

    def watch(self, *, reads: bool = False, writes: bool = False) -> None:
        """Be called when the source has more to read, or the target takes more, or neither."""
        if reads != self._reads:
            self._reads = reads
            if reads:
                self._loop.add_reader(self._source.fileno(), self._go)
            else:
                self._loop.remove_reader(self._source.fileno())
        if writes != self._writes:
            self._writes = writes
            if writes:
                self._loop.add_writer(self._target.fileno(), self._go)
            else:
                self._loop.remove_writer(self._target.fileno())
