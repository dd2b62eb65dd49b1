"""What a container's programs used and were refused: by destination, and since the last command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent_kernel.runtime.network.base import Destination

MOST_DESTINATIONS = 500
"""Destinations that are remembered for one container. The names come from inside, so there is a limit."""

MOST_LINES = 5
"""Refused destinations that the output of one command names."""


class NetworkUsage:
    """The destinations of one container, the most recently used at the end."""

    def __init__(self) -> None:
        self.forgotten = 0
        self._known: dict[tuple[str, int], Destination] = {}
        self._refused: dict[tuple[str, int], str] = {}
        self._more = 0

    @property
    def destinations(self) -> Sequence[Destination]:
        """The destinations that are remembered."""
        return tuple(self._known.values())

    def connected(self, name: str, port: int, sent: int, received: int) -> None:
        """Count a connection that was made, with the bytes that it carried."""
        known = self._taken(name, port)
        self._keep(
            replace(
                known,
                connections=known.connections + 1,
                sent=known.sent + sent,
                received=known.received + received,
            )
        )

    def refused(self, name: str, port: int, reason: str) -> None:
        """Count a refusal, and keep it for the next `take_refusals`."""
        known = self._taken(name, port)
        self._keep(replace(known, refused=known.refused + 1, reason=reason))
        if (name, port) in self._refused or len(self._refused) < MOST_LINES:
            self._refused[name, port] = reason
        else:
            self._more += 1

    def take_refusals(self) -> Sequence[str]:
        """Return a line for each destination that was refused since the last call."""
        lines = [f"Network: {name}:{port} was refused: {why}." for (name, port), why in self._refused.items()]
        if self._more:
            lines.append(f"Network: {self._more} more connections were refused.")
        self._refused, self._more = {}, 0
        return lines

    def _taken(self, name: str, port: int) -> Destination:
        return self._known.pop((name, port), None) or Destination(name, port)

    def _keep(self, destination: Destination) -> None:
        if len(self._known) >= MOST_DESTINATIONS:
            del self._known[next(iter(self._known))]
            self.forgotten += 1
        self._known[destination.name, destination.port] = destination
