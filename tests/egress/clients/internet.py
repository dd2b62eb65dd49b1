"""The world outside of a sandbox under test: host names that lead to servers of this machine."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from agent_kernel.egress.broker import Broker, ConnectionRecord
from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.egress.resolve import dial
from agent_kernel.egress.tls.termination import Termination
from agent_kernel.runtime.network.refusals import Refusals
from tests.sandboxes.inside import Sandbox

LOOPBACK = ip_address("127.0.0.1")
ELSEWHERE = "elsewhere.test"
"""A name that is allowed where the one of the client under test is not."""


class Internet:
    """Host names with public addresses, and the ports of loopback that connections to them really reach."""

    def __init__(self) -> None:
        self._addresses: dict[str, Address] = {}
        self._ports: dict[tuple[Address, int], int] = {}

    def add(self, name: str, port: int, real: int) -> None:
        """Let a port of a name lead to a port of loopback."""
        address = self._addresses.setdefault(name, ip_address(f"9.9.9.{len(self._addresses) + 1}"))
        self._ports[address, port] = real

    async def resolve(self, name: str) -> Sequence[Address]:
        return [self._addresses[name]]

    async def dial(self, address: Address, port: int) -> socket.socket:
        return await dial(LOOPBACK, self._ports[address, port])


@dataclass
class Finished:
    """A command's end: its exit code and output, and the lines about its connections after it."""

    code: int
    printed: str
    told: list[str]
    records: list[ConnectionRecord] = field(default_factory=list)


class Inside:
    """A sandbox whose connections a broker makes."""

    def __init__(self, run: Sandbox, internet: Internet) -> None:
        self.run = run
        self._internet = internet

    async def __call__(self, command: str, *allowed: str, termination: Termination | None = None) -> Finished:
        """Run a command that may reach the `allowed` hosts. `termination` has the secrets for them."""
        refusals, records = Refusals(), list[ConnectionRecord]()

        def record(connection: ConnectionRecord) -> None:
            records.append(connection)
            if connection.decision == "refused":
                refusals.add(connection.name, connection.port, connection.reason)

        policy = NetworkPolicy.parse(allowed)
        world = self._internet
        broker = Broker(policy, record=record, resolver=world.resolve, dialler=world.dial)
        broker.termination = termination
        self.run.channel.decide_by(broker)
        done = await self.run(command, timeout=100)
        printed = (done.stdout + done.stderr).decode()
        return Finished(done.code, printed, list(refusals.take()), records)
