"""Connections on the programs' own sockets, as where sandbox and host share a kernel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from agent_kernel.egress import pump
from agent_kernel.egress.broker import Broker
from agent_kernel.egress.limits import NetworkLimits
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.errors import ConnectDenied
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.near.program_socket import ProgramSocket, take_over
from tests.egress.test_broker import Outside

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection: the program's, and the one that boxd accepts."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        program = socket.socket()
        program.setblocking(False)
        await loop.sock_connect(program, listening.getsockname())
        accepted, _ = await loop.sock_accept(listening)
    return program, accepted


class Handed:
    """A program whose socket the host has. `task` ends as the connection does."""

    def __init__(self, broker: Broker, ends: tuple[socket.socket, socket.socket], port: int) -> None:
        self.program, accepted = ends
        self.stream = ProgramSocket(2, accepted, b"hello\n", os.close)
        self.task = asyncio.create_task(broker.connect("db.internal", port, self.stream))
        self.stream.left = self._left

    def _left(self) -> None:
        asyncio.get_running_loop().call_soon(self.task.cancel)

    async def streams(self) -> Streams:
        reader, self._writer = await asyncio.open_connection(sock=self.program)
        assert await reader.readline() == b"hello\n"
        return reader, self._writer

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.stream.let_go()
        self._writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


@contextlib.asynccontextmanager
async def handed(outside: Outside, *, limits: NetworkLimits, port: int = 5432) -> AsyncIterator[Handed]:
    policy = NetworkPolicy.parse(["tcp://db.internal:5432", "tcp://db.internal:80"])
    broker = Broker(policy, limits, outside.records.append, resolver=outside.resolve, dialler=outside.dial)
    made = Handed(broker, await pair(), port)
    try:
        async with asyncio.timeout(30):
            yield made
    finally:
        await made.end()


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    made = Outside()
    await made.start()
    yield made
    made.server.close()
    await made.server.wait_closed()


FREE = NetworkLimits()
MANY = os.urandom(1 << 20) * 5


async def test_bytes_flow_until_each_direction_ends(outside: Outside) -> None:
    async with handed(outside, limits=FREE) as made:
        reader, writer = await made.streams()
        writer.write(MANY)
        writer.write_eof()
        assert await reader.read() == MANY
        await made.task
        assert made.stream.let_go() == {"accepted": True, "ended": True}
    (record,) = outside.records
    assert (record.sent, record.received, record.failure) == (len(MANY), len(MANY), None)
    assert pump.Pump.running == 0


async def test_slow_program_pauses_the_server(outside: Outside) -> None:
    sent, paused = 0, asyncio.Event()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.read(1)
        while sent < 64 << 20 and not paused.is_set():
            writer.write(bytes(1 << 16))
            sent += 1 << 16
            try:
                async with asyncio.timeout(1):
                    await writer.drain()
            except TimeoutError:
                paused.set()
        writer.close()

    outside.serve = pour
    async with handed(outside, limits=FREE) as made:
        made.program.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        reader, writer = await made.streams()
        writer.write(b"x")
        await paused.wait()
        assert sent < 64 << 20
        received = 0
        while data := await reader.read(1 << 16):
            received += len(data)
        assert received == sent
        writer.close()


async def test_program_that_breaks_off_cancels_the_connection(outside: Outside) -> None:
    async with handed(outside, limits=FREE) as made:
        _, writer = await made.streams()
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()
        with pytest.raises(asyncio.CancelledError):
            await made.task
    assert [record.failure for record in outside.records] == [None]


async def test_server_that_breaks_off_is_reported(outside: Outside) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()

    outside.serve = reset
    async with handed(outside, limits=FREE) as made:
        _, writer = await made.streams()
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await made.task
        assert made.stream.let_go() == {"accepted": True, "ended": False}
    assert [record.failure for record in outside.records] == ["Connection reset by peer"]


async def test_limit_ends_the_connection(outside: Outside) -> None:
    async with handed(outside, limits=NetworkLimits(bytes_out=1000)) as made:
        _, writer = await made.streams()
        writer.write(bytes(1001))
        with pytest.raises(ConnectDenied, match="has sent its limit of 1000 bytes"):
            await made.task
    assert [record.sent for record in outside.records] == [0]


async def test_forged_host_gets_a_403(outside: Outside) -> None:
    async with handed(outside, limits=FREE, port=80) as made:
        reader, writer = await made.streams()
        writer.write(b"GET / HTTP/1.1\r\nHost: other.internal\r\n\r\n")
        assert b"names a different host" in await reader.read()
        writer.close()
        await made.task


async def test_only_tcp_connections_are_taken_over() -> None:
    others = [
        *socket.socketpair(),
        socket.socket(type=socket.SOCK_DGRAM),
        socket.create_server(("127.0.0.1", 0)),
    ]
    descriptors = [each.detach() for each in others] + list(os.pipe())
    for fd in descriptors:
        with pytest.raises(wire.WireError):
            take_over(fd)
        os.close(fd)
