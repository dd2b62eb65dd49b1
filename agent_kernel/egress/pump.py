"""Carry the bytes of one connection between two sockets: a program's and a server's.

Each direction is a chain of callbacks of the event loop: a task and a future for each piece would cost more
than the bytes do. A thread carries what comes in a long download, as long as it comes fast.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from agent_kernel.egress import stretches
from agent_kernel.egress.gate import Gate
from agent_kernel.sandboxes.near.edges import ENDS, WRITES, Edges
from agent_kernel.sandboxes.near.program_socket import NOW, ProgramSocket

LARGEST, LEAST, HELD = 1 << 20, 32 << 10, 16 << 20
"""Bytes of one direction's buffer, at most and at first, and of all that have grown."""

ON_THE_WAY = 384 << 10
"""Bytes that the program's socket holds for it, at most. They stay in the processor's cache until the program
reads them, which the megabytes that the system allows otherwise do not."""

LONG = 2 << 20
"""Bytes of a download that the event loop carries before a thread does."""

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
        self._loop = asyncio.get_running_loop()
        self._edges = Edges.of(self._loop)
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._up = _Up(inside.socket, outside, gate, count)
        self._down = _Down(outside, inside.socket, count)
        inside.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ON_THE_WAY)

    async def run(self) -> None:
        """Carry bytes until both directions have ended, and close the server's socket.

        Raises what the gate and `count` raise, and `OSError` when the server breaks the connection.
        """
        Pump.running += 1
        program, server = self._inside.socket.fileno(), self._outside.fileno()
        try:
            if not self._inside.replied:  # otherwise the program is about to read that
                self._advance(self._up)
            self._edges.watch(program, self._program_told)
            self._edges.watch(server, self._server_told)
            await self._done
        finally:
            Pump.running -= 1
            self._edges.forget(program)
            self._edges.forget(server)
            self._inside.ended = self._up.all_read
            if self._down.away is not None:
                self._down.away.stop()
            self._outside.close()

    def _program_told(self, mask: int) -> None:
        self._told(mask, self._up, self._down)

    def _server_told(self, mask: int) -> None:
        self._told(mask, self._down, self._up)

    def _told(self, mask: int, source: _Way, target: _Way) -> None:
        """Go on with the way that begins at a socket, and with the one that waits for it to take more."""
        if mask & ENDS:
            source.ends = True
        if mask & ~WRITES and not source.blocked:
            self._advance(source)
        if target.blocked and mask & (WRITES | ENDS):
            self._advance(target)

    def _advance(self, way: _Way) -> None:
        if way.ended or way.away is not None or self._done.done():
            return
        try:
            more = way.advance()
        except BrokenEnd as broken:
            self._broken(way, broken)
        except Exception as error:  # noqa: BLE001 (`run` raises it)
            self._done.set_exception(error)
        else:
            self._advanced(way, more)

    def _advanced(self, way: _Way, more: bool) -> None:
        if way is self._down and self._begin_stretch():
            return
        if more:
            self._loop.call_soon(self._advance, way)
        elif way.blocked:
            self._listen()
        elif way.ended:
            both = self._up.ended and self._down.ended
            if not both or way is self._down:  # closing the server's socket tells it the same
                way.shut()
            if both:
                self._done.set_result(None)

    def _begin_stretch(self) -> bool:
        """Let a thread carry a long download. Return whether it does."""
        if not self._down.long:
            return False
        program, rest = self._inside.socket, self._down.rest
        begun = stretches.begin(self._outside, program, rest, self._count, self._stretch_ended)
        if begun is None:
            return False
        self._down.go_away(begun)
        self._listen()
        return True

    def _listen(self) -> None:
        """Hear what matters now: nothing of the bytes that a thread carries."""
        self._edges.change(self._outside.fileno(), reads=self._down.away is None, writes=self._up.blocked)
        self._edges.change(self._inside.socket.fileno(), reads=True, writes=self._down.blocked)

    def _count(self, size: int) -> None:
        self._down.count(0, size)

    def _stretch_ended(self, stretch: stretches.Stretch) -> None:
        """Go on here with a download that a thread has carried."""
        self._down.come_back(stretch)
        if self._done.done():
            return
        if isinstance(stretch.error, OSError):
            self._broken(self._down, BrokenEnd(stretch.error, reading=not stretch.writing))
        elif stretch.error is not None:
            self._done.set_exception(stretch.error)
        else:
            self._listen()
            self._advance(self._down)

    def _broken(self, way: _Way, broken: BrokenEnd) -> None:
        if (way is self._up) == broken.reading:  # the program has: its task is about to be cancelled
            self._up.ended = self._down.ended = True
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
    """One direction."""

    def __init__(
        self, source: socket.socket, target: socket.socket, count: Callable[[int, int], None]
    ) -> None:
        self.target = target
        self.ends = False
        """Whether the source has ended or failed, so that there is more than its last bytes to read."""
        self.all_read = False
        self.ended = False
        self.blocked = False
        """Whether the target takes no more now."""
        self.rest: bytes | memoryview = b""
        """What was read, and is not passed on yet."""
        self.away: stretches.Stretching | None = None
        """What carries it in a thread."""
        self.count = count
        self._source = source
        self._buffer: memoryview | None = None
        self._size = LEAST
        self._full = False
        self._carried = 0

    @property
    def long(self) -> bool:
        """Whether much has come since it began or a thread left it, and its end has not."""
        return self._carried >= LONG and not self.all_read

    def go_away(self, begun: stretches.Stretching) -> None:
        """Leave it to a thread."""
        self.away, self._buffer, self._carried = begun, None, 0
        self.rest, self.blocked = b"", False

    def come_back(self, stretch: stretches.Stretch) -> None:
        """Go on with what the thread has left. What came meanwhile was not told."""
        self.away, self._full, self.rest = None, True, stretch.rest

    def check(self, data: bytes | memoryview) -> bytes | memoryview:
        """Return what may be passed on, counted. It gets nothing when the source has ended."""
        raise NotImplementedError

    def advance(self) -> bool:
        """Carry what is there, up to some pieces. Return whether there may be more to carry now.

        Raises `BrokenEnd`, and what `check` raises.
        """
        if self.blocked:
            self.blocked, self._full = False, True  # what came meanwhile was not told
        for _ in range(_PIECES):
            if not self.rest and not self._read():
                return False
            if self.rest and not self._send():
                self.blocked = True
                return False
            if self.all_read:
                self.ended = True
                return False
            if not self._full and not self.ends:
                return False
        return True

    def _read(self) -> bool:
        """Read a piece. Return whether there was one, or the end of all."""
        most = self._size
        if most > LEAST and Pump.running >= 16:
            most = max(LEAST, min(most, HELD // Pump.running))
        data: bytes | memoryview
        try:
            if most == LEAST:
                data = self._source.recv(most, NOW)
            else:
                if self._buffer is None or len(self._buffer) != most:
                    self._buffer = memoryview(bytearray(most))
                data = self._buffer[: self._source.recv_into(self._buffer, 0, NOW)]
        except BlockingIOError:
            self._buffer, self._size = None, LEAST  # an idle connection holds no memory
            return False
        except OSError as error:
            raise BrokenEnd(error, reading=True) from None
        size = len(data)
        self._carried += size
        self.all_read = not size
        self._full = size == most
        if self._full:
            self._size = min(2 * size, LARGEST)
        elif size < most // 2:
            self._buffer, self._size = None, max(LEAST, most // 2)
        self.rest = self.check(data)
        return True

    def _send(self) -> bool:
        """Send what was read. Return whether all of it is sent."""
        try:
            sent = self.target.send(self.rest, NOW)
        except BlockingIOError:
            return False
        except OSError as error:
            raise BrokenEnd(error, reading=False) from None
        if sent == len(self.rest):
            self.rest = b""
            return True
        self.rest = memoryview(self.rest)[sent:]
        return False

    def shut(self) -> None:
        """Tell the target that no more comes."""
        try:
            self.target.shutdown(socket.SHUT_WR)
        except OSError:  # it is broken already, which the other direction reports
            return


class _Up(_Way):
    """From the program to the server, through a gate."""

    def __init__(
        self, source: socket.socket, target: socket.socket, gate: Gate, count: Callable[[int, int], None]
    ) -> None:
        super().__init__(source, target, count)
        self._gate = gate

    def check(self, data: bytes | memoryview) -> bytes:
        passed = self._gate.feed(bytes(data)) if data else self._gate.end()
        if passed:
            self.count(len(passed), 0)
        return passed


class _Down(_Way):
    """From the server to the program."""

    def check(self, data: bytes | memoryview) -> bytes | memoryview:
        if data:
            self.count(0, len(data))
        return data
