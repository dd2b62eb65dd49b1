"""Chunks of a stream, sent by a task of their own."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from agent_kernel.server.streams import MOST_WAITING, Sender


class Client:
    """What the server sends to. It reads while `reads` is set."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.reads = asyncio.Event()
        self.reads.set()

    async def send(self, message: Any) -> None:
        await self.reads.wait()
        self.got.append(message["body"])


async def test_burst_is_one_chunk_and_a_single_event_waits_for_none() -> None:
    client = Client()
    async with aclosing(Sender(client.send)) as sender:
        for number in range(5):
            await sender.put(b"%d" % number)
        await sender.flush()
        await sender.put(b"alone")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert client.got == [b"01234", b"alone"]


async def test_writer_waits_for_a_client_that_does_not_read() -> None:
    client = Client()
    client.reads.clear()
    async with aclosing(Sender(client.send)) as sender:
        written: list[int] = []

        async def write() -> None:
            for number in range(100):
                await sender.put(b".")
                written.append(number)

        writer = asyncio.create_task(write())
        for _ in range(300):
            await asyncio.sleep(0)
        assert len(written) <= 2 * MOST_WAITING
        client.reads.set()
        await writer
        await sender.flush()
        assert b"".join(client.got) == b"." * 100


async def test_failure_of_the_server_reaches_the_writer() -> None:
    async def send(message: Any) -> None:
        raise OSError("gone")

    async with aclosing(Sender(send)) as sender:
        await sender.put(b"a")
        with pytest.raises(OSError, match="gone"):
            await sender.flush()
