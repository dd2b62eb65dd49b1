"""One channel of a host's connection, and what handles it. Every call of boxd is built on these."""

from __future__ import annotations

from . import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Peer(Protocol):
        """The connection that a channel belongs to."""

        def send(self, encoded: bytes) -> None:
            """Send a frame."""

        def send_soon(self, encoded: bytes) -> None:
            """Send a frame with the next one."""

        def end(self, number: int, encoded: bytes) -> None:
            """Send the last frame of a channel."""

        def passed(self) -> int:
            """Return the descriptor that came with the current call."""


class BoxChannel:
    """One channel as its handler sees it: send within the credit, and answer at the end.

    `ours` says that boxd opened it. Then the host answers, and `cancel` takes the place of an answer.
    """

    def __init__(self, peer: Peer, number: int) -> None:
        self.peer = peer
        self.number = number
        self.ours = number % 2 == 0
        self.credit = wire.Credit()
        self.handler: BoxHandler | None = None

    @property
    def room(self) -> int:
        """The number of bytes that may be sent now."""
        return self.credit.room

    def data(self, stream: int, payload: bytes) -> None:
        """Send a piece of at most `room` bytes."""
        self.credit.sent(len(payload))
        self.peer.send(wire.data(self.number, stream, payload))

    def eof(self) -> None:
        """Send no more data."""
        self.peer.send(wire.frame(wire.EOF, self.number))

    def grant(self, amount: int) -> None:
        """Allow the host to send `amount` more bytes than it may already."""
        self.credit.granted(amount)
        self.peer.send(wire.credit(self.number, amount))

    def took(self, amount: int, step: int = wire.WINDOW // 2) -> None:
        """Count `amount` of received credit as used up, and give it back in steps."""
        back = self.credit.taken(amount, step)
        if back:
            self.peer.send(wire.credit(self.number, back))

    def tell(self, value: dict[str, Any], *, now: bool = False) -> None:
        """Report on the call while it goes on: with the next frame, or by itself a moment later.

        `now`: the host waits for it, and no other frame is about to follow.
        """
        send = self.peer.send if now else self.peer.send_soon
        send(wire.message(wire.EVENT, self.number, value))

    def result(self, value: dict[str, Any]) -> None:
        """Answer the call, which ends the channel."""
        self.peer.end(self.number, wire.message(wire.RESULT, self.number, value))

    def error(self, code: str, text: str) -> None:
        """Answer that the call failed, which ends the channel."""
        self.peer.end(self.number, wire.message(wire.ERROR, self.number, {"code": code, "message": text}))

    def cancel(self) -> None:
        """Ask the host to stop a call that boxd made; the host still answers."""
        self.peer.send(wire.frame(wire.CANCEL, self.number))


class BoxHandler:
    """Handles the frames of one channel. A frame that a call does not expect is a protocol error."""

    def on_data(self, stream: int, payload: wire.Bytes) -> None:
        """Take bytes. They are void once this returns."""
        raise wire.WireError("this call takes no data")

    def on_eof(self) -> None:
        """No more bytes will come."""
        raise wire.WireError("this call takes no data")

    def on_credit(self) -> None:
        """There is more credit to send."""

    def on_event(self, value: dict[str, Any]) -> None:
        """The host reports on the call."""
        raise wire.WireError("this call takes no events")

    def on_cancel(self) -> bool:
        """Stop the call, as the host asks. Return True if the call still answers itself."""
        self.on_lost()
        return False

    def on_result(self, value: dict[str, Any]) -> None:
        """The host has answered a call of ours."""

    def on_error(self, value: dict[str, Any]) -> None:
        """The host has refused a call of ours, or it failed."""

    def on_lost(self) -> None:
        """The host is gone."""
