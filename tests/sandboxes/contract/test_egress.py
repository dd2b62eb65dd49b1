"""Connections out of a sandbox: boxd asks, the host's egress decides, bytes flow both ways."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from agent_kernel.errors import ConnectDenied, InvalidRequest, SandboxFileError, SandboxGone
from agent_kernel.sandboxes.base import Backend, SandboxSpec
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.egress import DenyAll, EgressStream
from agent_kernel.sandboxes.network import PROXY_PORT, Network
from agent_kernel.sandboxes.terminal import Dialed
from tests.sandboxes.inside import Sandbox, new_id
from tests.sandboxes.shared import SHARED, shared_backend, shared_run

pytestmark = SHARED
run = shared_run
backend = shared_backend


Connect = Callable[[EgressStream], Awaitable[None]]
BLOCK = bytes(range(256)) * 256


class Handler:
    """An `Egress` that accepts every connection and hands it to a test."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self.asked: list[tuple[str, int]] = []
        self.ended = asyncio.Event()
        self.cancelled = False

    async def connect(self, name: str, port: int, stream: EgressStream) -> None:
        self.asked.append((name, port))
        try:
            await self._connect(stream)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.ended.set()


async def echo(stream: EgressStream) -> None:
    await stream.accept()
    while piece := await stream.read(1 << 16):
        await stream.write(piece)
    await stream.write_eof()


@contextlib.asynccontextmanager
async def attached(run: Sandbox, connect: Connect) -> AsyncIterator[tuple[Channel, Handler]]:
    """Another host of the sandbox, which makes its connections."""
    handler = Handler(connect)
    channel = await Channel.open(await run.backend.stream(run.ref), handler)
    try:
        async with asyncio.timeout(60):
            yield channel, handler
    finally:
        await channel.aclose()


async def read_all(dialed: Dialed) -> bytes:
    received = bytearray()
    while piece := await dialed.read():
        received += piece
    return bytes(received)


@pytest.mark.slow_on_gvisor
async def test_connect_is_denied_by_default(run: Sandbox) -> None:
    assert "dial" in run.channel.methods
    with pytest.raises(ConnectDenied, match=r"not allowed: example\.com:443 was refused"):
        async with run.channel.dial("example.com", 443):
            raise AssertionError("connected")
    with pytest.raises(ConnectDenied, match="a malformed name:1 was refused"):
        async with run.channel.dial("a\n", 1):
            raise AssertionError("connected")
    for name, port in (("", 1), ("x" * 256, 1), ("a", 0), ("a", 1 << 16)):
        with pytest.raises(ConnectDenied, match="That is not"):
            async with run.channel.dial(name, port):
                raise AssertionError("connected")
    assert (await run("echo on")).stdout == b"on\n"


@pytest.mark.slow_on_gvisor
async def test_connect_without_an_egress_is_denied(run: Sandbox) -> None:
    await run.channel.aclose()
    run.channel = await Channel.open(await run.backend.stream(run.ref), None)
    with pytest.raises(ConnectDenied, match="no host connects"):
        async with run.channel.dial("example.com", 443):
            raise AssertionError("connected")


async def test_bytes_flow_both_ways_until_each_way_ends(run: Sandbox) -> None:
    async with attached(run, echo) as (channel, handler):
        async with channel.dial("echo.test", 7) as dialed:
            blocks = 48  # several times the credit

            async def send() -> None:
                for _ in range(blocks):
                    await dialed.write(BLOCK)
                await dialed.write_eof()

            sending = asyncio.create_task(send())
            assert await read_all(dialed) == BLOCK * blocks
            await sending
        async with run.channel.dial("echo.test", 8) as dialed:  # the newest egress serves every host
            await dialed.write(b"typed")
            assert await dialed.read() == b"typed"
            await dialed.write_eof()
            assert await dialed.read() == b""
        assert handler.asked == [("echo.test", 7), ("echo.test", 8)]
        assert not handler.cancelled


async def test_many_connections_at_once(run: Sandbox) -> None:
    async with attached(run, echo) as (channel, _):

        async def once(number: int) -> bytes:
            async with channel.dial("echo.test", number) as dialed:
                await dialed.write(b"%d" % number)
                await dialed.write_eof()
                return await read_all(dialed)

        numbers = range(1, 200)
        assert await asyncio.gather(*map(once, numbers)) == [b"%d" % number for number in numbers]
        assert await once(1) == b"1"


@pytest.mark.slow_on_gvisor
async def test_a_slow_reader_pauses_the_writer(run: Sandbox) -> None:
    read, written = asyncio.Event(), 0

    async def slow(stream: EgressStream) -> None:
        await stream.accept()
        await read.wait()
        await echo(stream)

    async with attached(run, slow) as (channel, _), channel.dial("slow.test", 1) as dialed:

        async def send() -> None:
            nonlocal written
            for _ in range(160):
                await dialed.write(BLOCK)
                written += 1
            await dialed.write_eof()

        sending = asyncio.create_task(send())
        assert (await run("echo on")).stdout == b"on\n"  # other calls go on meanwhile
        done, _ = await asyncio.wait([sending], timeout=1)
        assert not done
        # Two channels' credit, and what a pair of sockets holds.
        assert written * len(BLOCK) <= 2 * wire.WINDOW + (2 << 20)
        read.set()
        assert await read_all(dialed) == BLOCK * 160
        await sending


@pytest.mark.slow_on_gvisor
async def test_leaving_a_connection_cancels_the_host(run: Sandbox) -> None:
    async def endless(stream: EgressStream) -> None:
        await stream.accept()
        while True:
            await stream.write(BLOCK)

    async with attached(run, endless) as (channel, handler):
        async with channel.dial("endless.test", 1) as dialed:
            assert await dialed.read()
        await handler.ended.wait()
        assert handler.cancelled
        assert (await run("echo on")).stdout == b"on\n"


@pytest.mark.slow_on_gvisor
async def test_a_host_that_ends_closes_the_connection(run: Sandbox) -> None:
    async def once(stream: EgressStream) -> None:
        await stream.accept()
        await stream.write(BLOCK * 4)

    async def broken(stream: EgressStream) -> None:
        await stream.accept()
        raise ConnectionResetError(104, "Connection reset by peer")

    async def refused(stream: EgressStream) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    async with attached(run, once) as (channel, _), channel.dial("once.test", 1) as dialed:
        assert await read_all(dialed) == BLOCK * 4
    async with attached(run, broken) as (channel, _), channel.dial("broken.test", 1) as dialed:
        assert await read_all(dialed) == b""
    async with attached(run, refused) as (channel, _):
        with pytest.raises(SandboxFileError, match="Connection refused"):
            async with channel.dial("refused.test", 1):
                raise AssertionError("connected")


@pytest.mark.slow_on_gvisor
async def test_the_end_of_the_sandbox_cancels_its_connections(run: Sandbox) -> None:
    async def waits(stream: EgressStream) -> None:
        await stream.accept()
        await stream.read(1)

    async with attached(run, waits) as (channel, handler):
        async with contextlib.AsyncExitStack() as stack:
            dialed = await stack.enter_async_context(channel.dial("waits.test", 1))
            await run.backend.delete(run.ref)
            with pytest.raises(SandboxGone):
                await dialed.read()
        await handler.ended.wait()
        assert handler.cancelled


@pytest.mark.slow_on_gvisor
async def test_a_host_that_leaves_closes_its_connections(run: Sandbox) -> None:
    async with attached(run, echo) as (channel, handler):
        async with run.channel.dial("echo.test", 1) as dialed:
            await dialed.write(b"x")
            assert await dialed.read() == b"x"
            await channel.aclose()
            assert await dialed.read() == b""
        assert handler.cancelled
        with pytest.raises(ConnectDenied, match="not allowed"):  # the older host decides again
            async with run.channel.dial("echo.test", 1):
                raise AssertionError("connected")


@pytest.mark.slow_on_gvisor
async def test_channel_replaces_its_egress(run: Sandbox) -> None:
    handler = Handler(echo)
    for egress, denied in ((handler, False), (DenyAll(), True), (handler, False)):
        run.channel.decide_by(egress)
        with pytest.raises(ConnectDenied) if denied else contextlib.nullcontext():
            async with run.channel.dial("echo.test", 1):
                pass
    assert handler.asked == [("echo.test", 1)] * 2


@pytest.mark.slow_on_gvisor
async def test_ports_that_cannot_be_served_are_refused(backend: Backend) -> None:
    for ports in ((0,), (1 << 16,), (80, 80), (PROXY_PORT,), (53,), tuple(range(1000, 1065)), ("80",)):
        with pytest.raises(InvalidRequest, match="network"):
            await backend.create(SandboxSpec(new_id(), network=Network(ports)))  # type: ignore[arg-type]
