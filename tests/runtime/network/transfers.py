"""Transfers that never end, out of a sandbox and into it, and the server on loopback that they go to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
from collections.abc import AsyncIterator

import psutil

from agent_kernel.sandboxes.network import PROXY_PORT

_PROGRAM = """
import socket, sys, threading
def transfer(way):
    s = socket.create_connection(("127.0.0.1", {proxy}))
    s.sendall(b"CONNECT 127.0.0.1:{port} HTTP/1.1\\r\\n\\r\\n")
    assert b" 200 " in s.recv(1000)
    s.sendall(way)
    while True:
        if way == b"d":
            if not s.recv(1 << 16): break
        else:
            s.sendall(bytes(1 << 16))
threads = [threading.Thread(target=transfer, args=(way,)) for way in (b"d", b"u")]
for each in threads: each.start()
for each in threads: each.join()
"""


class Endless:
    """A server that pours what it is asked for, and swallows what it gets. `open` counts its connections."""

    def __init__(self) -> None:
        self.port = 0
        self.open = 0
        self._news = asyncio.Condition()

    @property
    def rule(self) -> str:
        """The policy's entry for this server."""
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def command(self) -> str:
        """A command that transfers in both directions until its connections end."""
        return f"python3 -c {shlex.quote(_PROGRAM.format(proxy=PROXY_PORT, port=self.port))}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not (way := await reader.read(1)):
            writer.close()
            return
        await self._count(1)
        with contextlib.suppress(ConnectionError):
            while way == b"d":
                writer.write(bytes(1 << 16))
                await writer.drain()
            while await reader.read(1 << 16):
                pass
        writer.close()
        await self._count(-1)

    async def _count(self, change: int) -> None:
        self.open += change
        async with self._news:
            self._news.notify_all()

    async def until_open(self, count: int) -> None:
        """Wait until exactly so many connections transfer."""
        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(lambda: self.open == count)

    def holders(self) -> list[int]:
        """Return the ids of other processes that have a connection to this server."""
        found = []
        for each in psutil.net_connections("tcp"):
            if each.raddr and each.raddr.port == self.port and each.pid not in (None, os.getpid()):
                found.append(each.pid)
        return found


@contextlib.asynccontextmanager
async def endless() -> AsyncIterator[Endless]:
    """Run the server."""
    made = Endless()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made
