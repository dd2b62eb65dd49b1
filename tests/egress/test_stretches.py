"""Long downloads, which a thread carries."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import struct
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent_kernel.egress import stretches
from agent_kernel.egress.limits import NetworkLimits
from agent_kernel.errors import ConnectDenied
from tests.egress.test_broker import Outside
from tests.egress.test_pump import FREE, Handed, Streams, handed, outside

__all__ = ["outside"]

BLOCK = os.urandom(1 << 20)
BLOCKS = 32


class Stretches:
    """Counts the stretches that could begin, and those that could not."""

    def __init__(self) -> None:
        self.begun = self.refused = 0
        self.first = asyncio.Event()
        self._begin = stretches.begin

    def begin(self, *arguments: Any) -> stretches.Stretching | None:
        begun = self._begin(*arguments)
        if begun is None:
            self.refused += 1
        else:
            self.begun += 1
            self.first.set()
        return begun


@pytest.fixture
async def counted(monkeypatch: pytest.MonkeyPatch, outside: Outside) -> AsyncIterator[Stretches]:
    """The server sends 32 MiB. No thread is left at the end."""
    made = Stretches()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        for _ in range(BLOCKS):
            writer.write(BLOCK)
            await writer.drain()
        writer.write_eof()
        assert await reader.read() == b"thanks"
        writer.close()

    monkeypatch.setattr(stretches, "begin", made.begin)
    outside.serve = pour
    yield made
    await no_thread()


async def no_thread() -> None:
    for each in threading.enumerate():
        if each.name == "stretch":
            await asyncio.to_thread(each.join, 60)
            assert not each.is_alive()


async def begun(made: Handed, counted: Stretches) -> Streams:
    """Begin a download, and read until a thread carries it."""
    reader, writer = await made.streams()
    writer.write(b"x")
    while not counted.begun:
        assert await reader.read(1 << 20)
    return reader, writer


async def test_every_byte_arrives_and_the_other_direction_goes_on(
    outside: Outside, counted: Stretches
) -> None:
    async with handed(outside, limits=FREE) as made:
        reader, writer = await made.streams()
        writer.write(b"x")
        found = hashlib.sha256()
        while data := await reader.read(1 << 20):
            found.update(data)
        assert found.digest() == hashlib.sha256(BLOCK * BLOCKS).digest()
        writer.write(b"thanks")
        writer.write_eof()
        await made.task
        assert made.stream.let_go() == {"accepted": True, "ended": True}
    assert counted.begun
    (record,) = outside.records
    assert (record.sent, record.received, record.failure) == (7, BLOCKS << 20, None)


async def test_program_that_stops_reading_gets_the_rest_later(outside: Outside, counted: Stretches) -> None:
    async with handed(outside, limits=FREE) as made:
        made.program.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        reader, writer = await begun(made, counted)
        await no_thread()  # it does not wait for the program
        left = hashlib.sha256()
        while data := await reader.read(1 << 20):
            left.update(data)
        writer.write(b"thanks")
        writer.write_eof()
        await made.task
    assert [record.received for record in outside.records] == [BLOCKS << 20]


async def test_program_can_make_no_call_on_its_socket_wait(outside: Outside, counted: Stretches) -> None:
    async with handed(outside, limits=FREE) as made:
        os.set_blocking(made.stream.socket.fileno(), True)  # as the sandbox can: it shares the socket
        await begun(made, counted)
        made.task.cancel()
        await asyncio.gather(made.task, return_exceptions=True)
        await no_thread()


async def test_program_that_breaks_off_ends_the_thread(outside: Outside, counted: Stretches) -> None:
    async with handed(outside, limits=FREE) as made:
        _, writer = await begun(made, counted)
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()
        with pytest.raises(asyncio.CancelledError):
            await made.task
    assert [record.failure for record in outside.records] == [None]


async def test_server_that_breaks_off_is_reported(outside: Outside, counted: Stretches) -> None:
    pour = outside.serve

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected = writer.get_extra_info("socket")
        sending = asyncio.ensure_future(pour(reader, writer))
        await counted.first.wait()
        sending.cancel()
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    outside.serve = reset
    async with handed(outside, limits=FREE) as made:
        reader, _ = await begun(made, counted)
        reading = asyncio.create_task(reader.read())
        with pytest.raises(ConnectionResetError):
            await made.task
        reading.cancel()
    assert [record.failure for record in outside.records] == ["Connection reset by peer"]


async def test_limit_is_exact(outside: Outside, counted: Stretches) -> None:
    limit = (BLOCKS - 2) << 20
    async with handed(outside, limits=NetworkLimits(bytes_in=limit)) as made:
        reader, _ = await begun(made, counted)
        reading = asyncio.create_task(reader.read())
        with pytest.raises(ConnectDenied, match=f"has received its limit of {limit} bytes"):
            await made.task
        reading.cancel()
    assert limit - (2 << 20) <= outside.records[0].received <= limit


async def test_without_a_free_thread_the_event_loop_carries_it(
    outside: Outside, counted: Stretches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretches, "_free", threading.BoundedSemaphore(1))
    assert stretches._free.acquire()
    async with handed(outside, limits=FREE) as made:
        reader, writer = await made.streams()
        writer.write(b"x")
        received = 0
        while data := await reader.read(1 << 20):
            received += len(data)
        assert received == BLOCKS << 20
        writer.write(b"thanks")
        writer.write_eof()
        await made.task
    assert counted.refused
    assert not counted.begun
