"""What the connections of each turn have used, and destinations as reports and responses show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.egress.records import ConnectionRecord, DestinationUse, NetworkUse
from agent_kernel.runtime.network.base import Destination

MOST_TURNS = 32
"""Turns whose use is remembered until it is taken; the oldest are forgotten."""

MOST_SHOWN = 50
"""Destinations that one response shows."""


class TurnUse:
    """Connections that have ended, by the response whose call ran when they began."""

    def __init__(self) -> None:
        self._turns: dict[str, NetworkUse] = {}

    def add(self, response_id: str, record: ConnectionRecord) -> None:
        """Add a connection. One that outlives its turn is not reported in a response."""
        if response_id not in self._turns:
            while len(self._turns) >= MOST_TURNS:
                del self._turns[next(iter(self._turns))]
            self._turns[response_id] = NetworkUse()
        self._turns[response_id].add(record)

    def take(self, response_id: str) -> NetworkUse:
        """Return what a turn has used, and forget it."""
        return self._turns.pop(response_id, None) or NetworkUse()


def destinations(use: NetworkUse, serving: Sequence[ConnectionRecord]) -> tuple[Destination, ...]:
    """Return the destinations of connections that have ended, and of those that are open."""
    found = {(each.name, each.port): _destination(each) for each in use.destinations}
    for record in serving:
        key = record.name, record.port
        before = found.get(key, Destination(*key))
        found[key] = Destination(
            *key,
            before.connections,
            before.refused,
            before.sent + record.sent,
            before.received + record.received,
            before.reason,
            before.open + 1,
            record.command or before.command,
        )
    return tuple(found.values())


def _destination(use: DestinationUse) -> Destination:
    return Destination(
        use.name,
        use.port,
        use.allowed,
        use.refused,
        use.sent,
        use.received,
        use.reason or "",
        command=use.command,
    )


def shown(used: Destination) -> Mapping[str, Any]:
    """Return a destination as a response shows it in `agent_kernel.network`."""
    found: dict[str, Any] = {
        "host": used.name,
        "port": used.port,
        "connections": used.connections,
        "refused": used.refused,
        "sent": used.sent,
        "received": used.received,
    }
    return found | ({"reason": used.reason} if used.reason else {})
