"""The programs' connections: bounded in number, each carried to the newest host that makes connections."""

from __future__ import annotations

import functools
import resource
import selectors
import socket

from .. import wire
from ..connection import passing
from . import ends
from .carried import Carried
from .handed_over import HandedOver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..connection import HostConnection
    from ..loop import Loop
    from .carried import Reply

BACKLOG = 512
PAUSE = 0.1
"""Seconds in which nothing is accepted after the kernel refused to."""


@functools.lru_cache(64)
def _passing(name: str, port: int, accepted: bytes) -> bytes:
    """Return the call for a connection whose socket goes with it; programs ask for the same again."""
    wanted = {"name": name, "port": port}
    return passing(wire.CONNECT, dict(wanted, reply=accepted.decode("latin-1")) if accepted else wanted)


class Connections:
    """Accepts programs' connections and carries them. `host()` returns the host that makes connections."""

    def __init__(self, loop: Loop, host: Callable[[], HostConnection | None]) -> None:
        self._loop = loop
        self._host = host
        self._held: set[Any] = set()
        self.looks = ends.Looks()
        # boxd needs descriptors for commands as well, and ends if there are none.
        self._most = min(2 * wire.MAX_OPENED, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)

    def serve(self, listening: socket.socket, begin: Callable[[socket.socket], None]) -> None:
        """Call `begin` for every connection to a listening socket. Too many are reset."""
        listening.setblocking(False)

        def accept(mask: int) -> None:
            try:
                fd = listening._accept()[0]  # type: ignore[attr-defined]  # the first half of `accept`
                connected = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)  # it asks for these
            except BlockingIOError:
                return
            except OSError:  # the program has gone, or there are no descriptors left
                self._loop.watch(listening.fileno(), 0, None)
                self._loop.after(PAUSE, watch)
                return
            if len(self._held) >= self._most:
                ends.reset(connected)
            else:
                connected.setblocking(False)
                begin(connected)

        def watch() -> None:
            self._loop.watch(listening.fileno(), selectors.EVENT_READ, accept)

        watch()

    def hold(self, holder: object) -> None:
        """Count what holds a program's socket."""
        self._held.add(holder)

    def release(self, holder: object) -> None:
        """Count it no more."""
        self._held.discard(holder)

    def refuse(self, connected: socket.socket, words: bytes) -> None:
        """End a connection with a refusal, or with a reset if there are no words."""
        if words:
            self.linger(connected, words)
        else:
            ends.reset(connected)

    def linger(self, connected: socket.socket, words: bytes) -> None:
        """Close a connection after its last words, when the program has read them."""
        last = ends.LastWords(self._loop, connected, self.release)
        self.hold(last)
        last.say(words)

    def carry(
        self,
        connected: socket.socket,
        target: tuple[str, int],
        reply: Reply,
        first: bytes = b"",
        body: int | None = None,
    ) -> None:
        """Ask the host for a target (name, port), and carry a program's connection to it.

        A host that takes sockets gets this one, and carries the bytes itself.

        `first` is what the program has sent already; it may send `body` bytes more (None: any number).
        """
        host = self._host()
        if host is not None and not first and body is None:
            call = _passing(target[0], target[1], reply.accepted)
            handed = host.hand_over(wire.CONNECT, call, connected.fileno())
            if handed is not None:
                handed.handler = HandedOver(self._loop, handed, connected, reply, self)
                self.hold(handed.handler)
                return
        channel = host and host.open(wire.CONNECT, {"name": target[0], "port": target[1]})
        if not channel:
            reason = "no host connects this sandbox" if host is None else "too many connections are open"
            self.refuse(connected, reply.refused("lost" if host is None else "many", reason))
            return
        carried = channel.handler = Carried(self._loop, channel, connected, reply, self)
        self.hold(carried)
        carried.begin(first, body)

    def killed(self) -> None:
        """Give up the connections of programs that were killed just now."""
        carried = [each for each in self._held if isinstance(each, (Carried, HandedOver))]
        table = ends.table() if carried else {}
        for each in carried:
            each.check_killed(table)
