"""What a broker needs for hosts with a secret. `tls/` implements it, with packages of an extra."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from agent_kernel.egress.gate import Gate
from agent_kernel.egress.policy import NetworkRule
from agent_kernel.egress.relay import Count, InsideStream
from agent_kernel.errors import ConnectDenied


@dataclass(frozen=True)
class AllowedTarget:
    """An allowed destination: a canonical name, a port, and the rule that allows it."""

    name: str
    port: int
    rule: NetworkRule


class SecretHosts(Protocol):
    """Carries the connections of one container to the hosts that have a secret."""

    def covers(self, name: str) -> bool:
        """Whether a canonical name has a secret."""
        ...

    def check(self, name: str, port: int) -> None:
        """Raise `ConnectDenied` if a host with a secret cannot be reached now."""
        ...

    def guarded(self, gate: Gate, port: int) -> Gate:
        """Return the gate of a connection to a host without a secret: no placeholder passes in clear."""
        ...

    async def carry(
        self, to: AllowedTarget, stream: InsideStream, connected: socket.socket, count: Count
    ) -> None:
        """Carry one connection to a host with a secret. `connected` is closed at the end.

        Raises `NotForwarded`, what `count` raises, and `OSError` for failures of the server.
        """
        ...


class UnreadableHosts:
    """Refuses all connections to the hosts of `domains`: the packages that read their TLS are missing."""

    def __init__(self, domains: Iterable[str]) -> None:
        self._domains = frozenset(domains)

    def covers(self, name: str) -> bool:
        return name in self._domains

    def check(self, name: str, port: int) -> None:
        if name in self._domains:
            raise ConnectDenied(_MISSING)

    def guarded(self, gate: Gate, port: int) -> Gate:
        return gate

    async def carry(
        self, to: AllowedTarget, stream: InsideStream, connected: socket.socket, count: Count
    ) -> None:
        raise ConnectDenied(_MISSING)


_MISSING = "it has a secret, and the packages for that are not installed on the server"
