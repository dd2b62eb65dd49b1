"""Records of connections, and their sum per destination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

MAX_DESTINATIONS = 200


class ConnectionRecord(NamedTuple):
    """One connection, allowed or refused, at its end. All text is safe to show."""

    name: str
    """The canonical host name."""
    port: int
    address: str | None
    """The address that it was connected to, or None."""
    decision: Literal["allowed", "refused"]
    rule: str | None
    """The entry of the policy that allows the destination, or None. A connection can still be refused."""
    reason: str
    """Why it was allowed or refused, as a phrase."""
    failure: str | None
    """Why an allowed connection failed, as a phrase, or None."""
    sent: int
    """Bytes from the sandbox to the server."""
    received: int
    """Bytes from the server to the sandbox."""
    started: float
    """When it was asked for, in seconds since the epoch."""
    seconds: float
    by: str = "policy"
    """What decided: the `policy`, a `rule`, or who was asked."""
    command: str = ""
    """What ran when it began, shortened, as far as that is known."""


@dataclass
class DestinationUse:
    """The connections to one destination. `reason` is that of the latest refusal, or None.

    `command` is that of the latest connection whose command is known.
    """

    name: str
    port: int
    allowed: int = 0
    refused: int = 0
    sent: int = 0
    received: int = 0
    reason: str | None = None
    command: str = ""


class NetworkUse:
    """What a container's connections have used, by destination: at most 200 of them.

    `omitted` counts the connections to further destinations, and `sent` the bytes to all of them.
    """

    def __init__(self) -> None:
        self.omitted = self.sent = 0
        self._destinations: dict[tuple[str, int], DestinationUse] = {}

    @property
    def destinations(self) -> list[DestinationUse]:
        """The destinations, in the order in which they were first asked for."""
        return list(self._destinations.values())

    def add(self, record: ConnectionRecord) -> None:
        """Add a connection that has ended."""
        self.sent += record.sent
        key = record.name, record.port
        if key not in self._destinations:
            if len(self._destinations) >= MAX_DESTINATIONS and not self._make_room(record):
                self.omitted += 1
                return
            self._destinations[key] = DestinationUse(*key)
        use = self._destinations[key]
        use.command = record.command or use.command
        use.sent += record.sent
        use.received += record.received
        if record.decision == "allowed":
            use.allowed += 1
        else:
            use.refused += 1
            use.reason = record.reason

    def _make_room(self, record: ConnectionRecord) -> bool:
        """Forget a refused destination in favour of an allowed one: a program can ask for any name."""
        if record.decision == "refused":
            return False
        refused = next((key for key, use in self._destinations.items() if not use.allowed), None)
        if refused is not None:
            self.omitted += self._destinations.pop(refused).refused
        return refused is not None
