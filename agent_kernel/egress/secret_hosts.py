"""What a broker needs for hosts whose TLS ends here: those with a secret, and those of read-only rules.

`tls/` implements it, with packages of an extra.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from agent_kernel.egress.gate import HTTP_PORT, Gate
from agent_kernel.egress.policy import NetworkRule
from agent_kernel.egress.relay import Count, InsideStream
from agent_kernel.errors import ConnectDenied


@dataclass(frozen=True)
class AllowedTarget:
    """An allowed destination: a canonical name, a port, and the rule that allows it."""

    name: str
    port: int
    rule: NetworkRule

    @property
    def read(self) -> bool:
        """Whether the requests have to be read because of the rule. In clear, a gate does that."""
        return self.rule.read_only and self.port != HTTP_PORT


class SecretHosts(Protocol):
    """Carries the connections of one container to hosts that have a secret or may only be read."""

    def covers(self, name: str) -> bool:
        """Whether a canonical name has a secret."""
        ...

    def check(self, to: AllowedTarget) -> None:
        """Raise `ConnectDenied` if a host with a secret, or one that may only be read, cannot be reached."""
        ...

    def guarded(self, gate: Gate, port: int) -> Gate:
        """Return the gate of a connection that is not carried here: no placeholder passes in clear."""
        ...

    async def carry(
        self, to: AllowedTarget, stream: InsideStream, connected: socket.socket, count: Count
    ) -> None:
        """Carry one connection and read its requests. `connected` is closed at the end.

        Raises `NotForwarded`, what `count` raises, and `OSError` for failures of the server.
        """
        ...


class UnreadableHosts:
    """Refuses connections to `domains` and by read-only rules: the packages that read TLS are missing."""

    def __init__(self, domains: Iterable[str]) -> None:
        self._domains = frozenset(domains)

    def covers(self, name: str) -> bool:
        return name in self._domains

    def check(self, to: AllowedTarget) -> None:
        if to.name in self._domains or to.read:
            raise ConnectDenied(MISSING)

    def guarded(self, gate: Gate, port: int) -> Gate:
        return gate

    async def carry(
        self, to: AllowedTarget, stream: InsideStream, connected: socket.socket, count: Count
    ) -> None:
        raise ConnectDenied(MISSING)


MISSING = "its requests have to be read, and the packages for that are not installed on the server"
