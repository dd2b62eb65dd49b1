"""How a program's connection ends: with an error, after last words, or because the program has ended."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Tuple

    Table = Dict[Tuple[str, str], bool]

    from ..loop import Loop

READING = 2.0
"""Seconds in which a program must read the last words."""

_MAPPED = "0000000000000000FFFF0000"
"""Begins an IPv4 address of an IPv6 socket, in the kernel's table."""


def reset(connected: socket.socket) -> None:
    """Close a socket so that the program sees an error, and no end of the data."""
    with contextlib.suppress(OSError):  # it was never connected, or it is reset already
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connected.close()


class LastWords:
    """Writes a refusal to a program, and closes the connection when the program has read it.

    What the program still sends is read and dropped: otherwise the kernel would drop the refusal.
    """

    def __init__(self, loop: Loop, connected: socket.socket, closed: Callable[[LastWords], None]) -> None:
        self._loop = loop
        self._socket = connected
        self._closed = closed
        self._timer = loop.after(READING, self._close)
        loop.watch(connected.fileno(), selectors.EVENT_READ, lambda mask: self._read())

    def say(self, words: bytes) -> None:
        """Write the refusal. Nothing was written before, so it fits into the socket."""
        try:
            self._socket.send(words)
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._close()

    def _read(self) -> None:
        try:
            if self._socket.recv(1 << 16):
                return
        except BlockingIOError:
            return
        except OSError:  # the program has gone
            pass
        self._close()

    def _close(self) -> None:
        self._timer.cancel()
        self._loop.watch(self._socket.fileno(), 0, None)
        self._socket.close()
        self._closed(self)


def table() -> Table:
    """Return which ends of TCP connections inside a process holds, by local and remote address."""
    entries = {}
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(path) as file:
                lines = file.read().splitlines()[1:]
        except OSError:  # a kernel without the table, or without IPv6
            continue
        for line in lines:
            words = line.split()
            entries[_last_eight(words[1]), _last_eight(words[2])] = words[9] != "0"
    return entries


class Looks:
    """Shares a `table` among connections that look at about the same time: it grows with all of them."""

    def __init__(self) -> None:
        self._table: Table = {}
        self._taken = float("-inf")

    def table(self, age: float) -> Table:
        """Return a table that is at most `age` seconds old."""
        if time.monotonic() - self._taken >= age:
            self._table, self._taken = table(), time.monotonic()
        return self._table


def is_left(connected: socket.socket, entries: Table) -> bool:
    """Return whether no program holds the other end of a connection any more, by a `table` of now.

    A program that has only ended its direction still holds it. False where the kernel does not say.
    """
    try:
        here, there = _entry(connected.getsockname()), _entry(connected.getpeername())
    except OSError:  # it was reset
        return True
    return entries.get((here, there), False) and not entries.get((there, here), False)


def _last_eight(word: str) -> str:
    return word[len(_MAPPED) :] if word.startswith(_MAPPED) else word


def _entry(address: tuple[str, int]) -> str:
    return "%08X:%04X" % (struct.unpack("=I", socket.inet_aton(address[0]))[0], address[1])
