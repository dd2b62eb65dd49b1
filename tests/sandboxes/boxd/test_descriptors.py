"""Descriptors on the stream into a sandbox: what a hostile boxd sends is refused, and nothing stays open."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from agent_kernel.errors import ChannelBroken
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.egress import DenyAll, Egress, EgressStream
from agent_kernel.sandboxes.near import descriptors
from agent_kernel.sandboxes.near.descriptors import Descriptors
from agent_kernel.sandboxes.socket_stream import SocketStream


class Taken:
    """An egress that reads what a program has sent, and answers it."""

    def __init__(self) -> None:
        self.read = b""

    async def connect(self, name: str, port: int, stream: EgressStream) -> None:
        await stream.accept()
        self.read = await stream.read(99)
        await stream.write(b"answer")


class Box:
    """What says that it is boxd, at the other end of a stream."""

    def __init__(self, connected: socket.socket, given: Descriptors) -> None:
        self.connected = connected
        self.given = given
        """What the host has of the descriptors that this box sends."""
        connected.settimeout(20)

    def send(self, frame: bytes, *fds: int) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.connected.sendmsg([frame], rights)

    def answer(self) -> bytes:
        """Return the next frame of the host's."""
        return self.connected.recv(1 << 16)

    def call(self, number: int = 2, **fields: object) -> bytes:
        asked = {"method": "connect", "name": "a.test", "port": 80, "passed": True, **fields}
        return wire.message(wire.CALL, number, asked)


async def _no_news() -> None: ...


@contextlib.asynccontextmanager
async def attached(egress: Egress, *, takes: bool = True) -> AsyncIterator[tuple[Box, Channel]]:
    ours, theirs = socket.socketpair()
    stream = await SocketStream.open(ours, _no_news)
    box = Box(theirs, stream.descriptors)
    opening = asyncio.create_task(Channel.open(stream, egress))
    greeting = await asyncio.to_thread(box.answer)
    assert wire.parse_descriptors(greeting[wire.HEADER.size :]) is takes
    box.send(wire.hello(["run"]))
    channel = await opening
    try:
        async with asyncio.timeout(60):
            yield box, channel
    finally:
        await channel.aclose()
        theirs.close()


async def open_files(most: int) -> None:
    """Wait until this process has no more files open: sockets of a sandbox are closed in a thread."""
    while len(os.listdir("/proc/self/fd")) > most:  # noqa: ASYNC110 (a thread does it)
        await asyncio.sleep(0)


def connection() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        program = socket.create_connection(listening.getsockname())
        return program, listening.accept()[0]


async def test_host_carries_a_connection_that_it_is_given() -> None:
    egress = Taken()
    program, accepted = connection()
    async with attached(egress) as (box, _):
        with program, accepted:
            box.send(box.call(reply="welcome "), accepted.fileno())
            program.sendall(b"asked")
            frame = await asyncio.to_thread(box.answer)
            assert frame[4] == wire.RESULT
            answer = wire.parse_json(frame[wire.HEADER.size :])
            assert answer == {"accepted": True, "ended": False}
            accepted.close()
            assert await asyncio.to_thread(program.makefile("rb").read) == b"welcome answer"
    assert egress.read == b"asked"


def _pipe() -> list[int]:
    return list(os.pipe())[:1]


def _datagrams() -> list[int]:
    return [socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()]


def _listener() -> list[int]:
    return [socket.create_server(("127.0.0.1", 0)).detach()]


def _several() -> list[int]:
    return [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]


def _none() -> list[int]:
    return []


@pytest.mark.parametrize("made", [_pipe, _datagrams, _listener, _several, _none])
async def test_other_descriptors_end_the_stream(made: Callable[[], list[int]]) -> None:
    async with attached(Taken()) as (box, channel):
        descriptors = made()
        before = len(os.listdir("/proc/self/fd"))
        box.send(box.call(), *descriptors)
        await channel.closed.wait()
        assert isinstance(channel.failure, ChannelBroken)
        await open_files(before - 1)  # the host's end of the stream is closed, and nothing is kept
        for fd in descriptors:
            os.close(fd)


async def test_descriptors_without_a_call_are_bounded() -> None:
    async with attached(Taken()) as (box, channel):
        before = len(os.listdir("/proc/self/fd"))
        fd = os.open(os.devnull, os.O_RDONLY)

        def flood() -> None:
            box.send(wire.HEADER.pack(1000, wire.DATA, 2), fd)  # a frame that never ends
            with contextlib.suppress(OSError):  # the host closes the stream
                while True:
                    box.send(b"x", fd)

        await asyncio.to_thread(flood)
        os.close(fd)
        await channel.closed.wait()
        assert isinstance(channel.failure, ChannelBroken)
        await open_files(before - 1)


@pytest.mark.parametrize("reply", [7, "x" * 500, "é"])
async def test_improper_reply_ends_the_stream(reply: object) -> None:
    program, accepted = connection()
    async with attached(Taken()) as (box, channel):
        with program, accepted:
            box.send(box.call(reply=reply), accepted.fileno())
            await channel.closed.wait()
            assert isinstance(channel.failure, ChannelBroken)
            accepted.close()
            assert await asyncio.to_thread(program.recv, 1) == b""


@contextlib.contextmanager
def waiting_to_close(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Return a connection whose last close waits for its program, which reads nothing."""
    monkeypatch.setattr(descriptors, "_STUCK", 0.0)
    program, accepted = connection()
    accepted.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            accepted.send(bytes(1 << 16))
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    with program:
        yield accepted.detach()


async def hand_over_for_good(box: Box, fd: int) -> None:
    """Give the host the only descriptor of a connection that it refuses, and wait until it closes it."""
    box.send(box.call(), fd)
    os.close(fd)
    assert (await asyncio.to_thread(box.answer))[4] == wire.ERROR
    while not box.given.stuck:  # noqa: ASYNC110 (a thread closes it)
        await asyncio.sleep(0)


async def test_sandbox_whose_sockets_do_not_close_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with waiting_to_close(monkeypatch) as fd:
        async with attached(DenyAll()) as (box, channel):
            await hand_over_for_good(box, fd)
            program, accepted = connection()
            with program, accepted:
                box.send(box.call(4), accepted.fileno())
                await channel.closed.wait()
            assert "earlier descriptors cannot be closed" in str(channel.failure)


async def test_no_sockets_are_taken_while_many_do_not_close(monkeypatch: pytest.MonkeyPatch) -> None:
    with waiting_to_close(monkeypatch) as fd:
        async with attached(DenyAll()) as (box, _):
            await hand_over_for_good(box, fd)
            async with attached(Taken()):
                pass
            monkeypatch.setattr(descriptors, "_MOST_STUCK", 1)
            async with attached(Taken(), takes=False) as (other, channel):
                other.send(other.call(), fd := os.open(os.devnull, os.O_RDONLY))
                os.close(fd)
                await channel.closed.wait()
                assert "a descriptor that the host does not take" in str(channel.failure)


async def test_socket_that_does_not_close_holds_up_no_other_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    with waiting_to_close(monkeypatch) as fd:
        async with attached(DenyAll()) as (box, _), attached(Taken()) as (other, _):
            await hand_over_for_good(box, fd)
            program, accepted = connection()
            with program:
                with accepted:
                    other.send(other.call(), accepted.fileno())
                program.sendall(b"asked")
                assert await asyncio.to_thread(program.makefile("rb").read) == b"answer"
