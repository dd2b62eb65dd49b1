"""What connections whose TLS is read cost the host while their programs do not read."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from agent_kernel.egress.broker import Broker
from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.egress.resolve import dial
from agent_kernel.egress.tls.authority import Authority
from agent_kernel.egress.tls.termination import Termination
from agent_kernel.sandboxes.near.program_socket import ProgramSocket
from tests.egress.tls.outside import NAME, TOKEN

PROGRAMS = 25
MOST = 16.0
"""Megabytes for 25 programs: 64 MB for 100."""


def resident() -> float:
    """The memory of this process in megabytes."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    (size,) = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(size) * 1024 / 1e6


class Way:
    """Carries connections of programs outside any sandbox, on their own sockets."""

    def __init__(self, port: int, trusted: Path) -> None:
        policy = NetworkPolicy.parse([f"tcp://{NAME}:443"])
        self.broker = Broker(policy, resolver=self._resolve, dialler=lambda address, _: dial(address, port))
        trust = trusted.with_name("server.pem")
        authority = Authority()
        trusted.write_bytes(authority.pem)
        self.broker.termination = Termination(
            [TOKEN], authority, lambda: ssl.create_default_context(cafile=str(trust))
        )
        self.tasks: list[asyncio.Task[None]] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.setblocking(False)

    @staticmethod
    async def _resolve(name: str) -> list[Address]:
        return [ip_address("127.0.0.1")]

    async def serve(self) -> None:
        while True:
            connected, _ = await asyncio.get_running_loop().sock_accept(self.listening)
            stream = ProgramSocket(2, connected, b"", os.close)
            self.tasks.append(asyncio.create_task(self._carry(stream)))

    async def _carry(self, stream: ProgramSocket) -> None:
        stream.left = asyncio.current_task().cancel  # type: ignore[union-attr,assignment]
        try:
            await self.broker.connect(NAME, 443, stream)
        finally:
            stream.let_go()

    async def quiet(self) -> None:
        """Wait until nothing moves any more."""
        before = -1
        while self.received() != before:
            before = self.received()
            await asyncio.sleep(0.3)

    def received(self) -> int:
        return sum(each.received for each in self.broker.serving())


def started(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.egress.tls.pouring", *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
async def test_slow_programs_cost_little_memory(protocol: str, tmp_path: Path) -> None:
    with started(str(tmp_path), protocol, str(PROGRAMS)) as pouring:
        assert pouring.stdin is not None
        assert pouring.stdout is not None
        trusted = tmp_path / "inside.pem"
        way = Way(int(await asyncio.to_thread(pouring.stdout.readline)), trusted)
        serving = asyncio.create_task(way.serve())
        try:
            async with asyncio.timeout(120):
                before = resident()
                print(way.listening.getsockname()[1], trusted, file=pouring.stdin, flush=True)
                assert int(await asyncio.to_thread(pouring.stdout.readline)) == PROGRAMS
                await way.quiet()
                assert len(way.broker.serving()) == PROGRAMS
                assert way.received() > PROGRAMS << 16
                assert resident() - before <= MOST
        finally:
            pouring.stdin.close()
            for task in (serving, *way.tasks):
                task.cancel()
            await asyncio.gather(serving, *way.tasks, return_exceptions=True)
            way.listening.close()
