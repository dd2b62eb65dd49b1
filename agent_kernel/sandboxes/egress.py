"""Connections out of a sandbox: boxd asks for one by name and port, and an `Egress` decides.

The default is `DenyAll`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent_kernel.errors import ConnectDenied
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.network import Network

NAME_LIMIT = 255
PIECE = 128 << 10
"""Bytes of a connection that are sent at once."""


class Egress(Protocol):
    """Decides about connections out of one sandbox, and makes them."""

    async def connect(self, name: str, port: int, stream: EgressStream) -> None:
        """Make one connection, and carry its bytes until it ends.

        `name` is meant to be a host name or an address in text form: 1 to 255 characters of any kind. `port`
        is 1 to 65535. Both come from inside the sandbox, so they are claims. Call `stream.accept` when the
        connection is there. The sandbox's end is closed when this returns.

        Raise `ConnectDenied` with the reason to refuse. An `OSError` reports a failed connection to the
        program inside; any other exception is logged and reported without its text. This coroutine is
        cancelled when the program inside is gone or the channel closes.
        """
        ...


class DenyAll:
    """An `Egress` that refuses every connection."""

    async def connect(self, name: str, port: int, stream: EgressStream) -> None:
        """Refuse. Raises `ConnectDenied`."""
        shown = name if name.isprintable() else "a malformed name"
        raise ConnectDenied(f"Connections out of the sandbox are not allowed: {shown}:{port} was refused.")


class CurrentEgress:
    """An `Egress` that passes each connection to the present `egress`, which can be replaced."""

    def __init__(self, egress: Egress) -> None:
        self.egress = egress

    def connect(self, name: str, port: int, stream: EgressStream) -> Coroutine[Any, Any, None]:
        """See `Egress.connect`."""
        return self.egress.connect(name, port, stream)


@dataclass(frozen=True)
class Access:
    """What one sandbox may reach: the listeners inside it, and the host's decision. By default nothing."""

    network: Network | None = None
    """Goes into `SandboxSpec.network`, whenever the sandbox is made."""
    egress: Egress = field(default_factory=DenyAll)
    """Goes to `Channel.open`, whenever a host attaches."""


class EgressStream:
    """The sandbox's end of one connection: bytes in both directions, each ended by itself."""

    answered = False
    """Whether the host has ended the connection."""

    cancelled = False
    """Whether the program inside has given up."""

    def __init__(self, number: int, send: Callable[[wire.Bytes], Awaitable[None]]) -> None:
        self.number = number
        self._send = send
        self._credit = wire.Credit()
        self._received: deque[bytes] = deque()
        self._frames = 0
        self._ended = False
        self._news = asyncio.Event()

    async def accept(self) -> None:
        """Tell the program inside that it is connected. Call it once, before any write."""
        await self._send(wire.message(wire.EVENT, self.number, {"accepted": True}))

    async def read(self, limit: int) -> bytes:
        """Return up to `limit` bytes that the program inside sent, `b""` after its last one.

        Bytes may come before `accept`. A caller that does not read pauses the program. Cancelling loses
        nothing that was not returned.
        """
        while not self._received and not self._ended:
            self._news.clear()
            await self._news.wait()
        pieces, size = [], 0
        while self._received and size + len(self._received[0]) <= limit:
            pieces.append(self._received.popleft())
            size += len(pieces[-1])
        if not size and self._received:  # the first one is larger
            pieces.append(self._received[0][:limit])
            self._received[0] = self._received[0][limit:]
            size = limit
        cost, self._frames = self._frames * wire.FRAME_COST, 0
        if back := self._credit.taken(size + cost):
            await self._send(wire.credit(self.number, back))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def write(self, data: bytes) -> None:
        """Send all of `data` to the program inside, waiting while it does not read.

        Raises `SandboxError` when the sandbox is gone.
        """
        view = memoryview(data)
        while view:
            piece = view[: min(await self.room(), PIECE)]
            self._credit.sent(len(piece))
            await self._send(wire.data(self.number, wire.CONTENT, piece))
            view = view[len(piece) :]

    def let_go(self) -> dict[str, Any]:
        """End the connection at this end. Return what boxd learns about it with the answer."""
        return {}

    async def room(self) -> int:
        """Wait while the program inside does not read. Return how many bytes it takes now."""
        while not (room := self._credit.room):
            self._news.clear()
            await self._news.wait()
        return room

    async def write_frame(self, frame: memoryview) -> None:
        """Send bytes as `write` does, without a copy: at most `room`, behind `wire.DATA_HEAD` free bytes.

        The memory belongs to the stream from now on.
        """
        self._credit.sent(len(frame) - wire.DATA_HEAD)
        wire.put_data_head(frame, self.number, wire.CONTENT)
        await self._send(frame)

    async def write_eof(self) -> None:
        """Send no more data. Reading goes on."""
        await self._send(wire.frame(wire.EOF, self.number))

    def receive(self, kind: int, payload: bytes) -> None:
        """Take a frame from boxd. Raises `WireError` if it does not belong here, or exceeds the credit."""
        if kind == wire.CREDIT:
            self._credit.allowed(wire.parse_credit(payload))
        elif self._ended or kind not in (wire.DATA, wire.EOF):
            raise wire.WireError(f"frame of kind {kind} on a connection of the sandbox's")
        elif kind == wire.EOF:
            self._ended = True
        else:
            data = wire.parse_data(payload)[1]
            self._credit.received(len(data))
            self._frames += 1
            if data:
                self._received.append(data)
        self._news.set()


def serve_connect(
    egress: Egress, arguments: dict[str, Any], stream: EgressStream
) -> Coroutine[Any, Any, None]:
    """Check what boxd asks for, and return what connects it by `egress`. Raises `ConnectDenied`."""
    name, port = arguments.get("name"), arguments.get("port")
    if not (isinstance(name, str) and 0 < len(name) <= NAME_LIMIT):
        raise ConnectDenied("That is not a host name.")
    if not (type(port) is int and 0 < port < 1 << 16):
        raise ConnectDenied("That is not a port.")
    return egress.connect(name, port, stream)
