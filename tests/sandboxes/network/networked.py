"""A sandbox with a network under test: what decides about its connections, and the server that answers."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import AsyncIterator

from agent_kernel.errors import ConnectDenied
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.egress import EgressStream
from agent_kernel.sandboxes.network import Network
from tests.sandboxes.inside import Sandbox, started

DIRECT = "env -u http_proxy -u https_proxy -u all_proxy -u HTTP_PROXY -u HTTPS_PROXY -u ALL_PROXY"
"""Begins a command that ignores the proxy, as Java or R do."""

PORT = 5432
NETWORK = Network((80, 443, 22, PORT))
ALLOWED = ("index.test", "db.test")


class Dialer:
    """An `Egress` that connects the names of `ALLOWED` to one server of this machine, and refuses others."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.asked: list[tuple[str, int]] = []
        self.open = 0
        self.news = asyncio.Condition()

    async def connect(self, name: str, port: int, stream: EgressStream) -> None:
        self.asked.append((name, port))
        if name not in ALLOWED:
            raise ConnectDenied(f"{name}:{port} was refused: not in the allowlist.")
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        await self._count(1)
        try:
            await stream.accept()
            async with asyncio.TaskGroup() as both:
                both.create_task(self._up(stream, writer))
                both.create_task(self._down(reader, stream))
        finally:
            writer.close()
            await self._count(-1)

    async def _count(self, change: int) -> None:
        self.open += change
        async with self.news:
            self.news.notify_all()

    async def _up(self, stream: EgressStream, writer: asyncio.StreamWriter) -> None:
        while piece := await stream.read(1 << 16):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    async def _down(self, reader: asyncio.StreamReader, stream: EgressStream) -> None:
        while piece := await reader.read(1 << 16):
            await stream.write(piece)
        await stream.write_eof()

    async def none_open(self) -> None:
        async with self.news:
            await self.news.wait_for(lambda: self.open == 0)

    async def some_open(self, count: int = 1) -> None:
        async with self.news:
            await self.news.wait_for(lambda: self.open >= count)


class Server:
    """A server on loopback: answers HTTP with the request's first lines, and echoes what is not HTTP."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.received = b""
        self.hung = 0
        self.quiet = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            first = await reader.read(1 << 16)
            if first.startswith((b"GET /hang", b"hang")):
                self.hung = len(first) + len(await reader.read())
                self.quiet.set()
            elif b" HTTP/1." in first:
                await self._answer(first, reader, writer)
            else:
                self.received += first
                while first:
                    writer.write(first)
                    first = await reader.read(1 << 16)
                    self.received += first
        writer.close()

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(head.partition(b"\r\n\r\n")[0])
        body = b"x" * (3 << 20) if b" /large" in head else b"here\n"
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()


class Networked:
    """A sandbox with a network, what decides about it, and the server that answers."""

    def __init__(self, run: Sandbox, dialer: Dialer, server: Server) -> None:
        self.run = run
        self.dialer = dialer
        self.server = server

    async def out(self, command: str) -> str:
        done = await self.run(command)
        return (done.stdout + done.stderr).decode()

    async def python(self, text: str, before: str = "") -> str:
        return await self.out(f"{before} python3 -c {shlex.quote(text)}")


@contextlib.asynccontextmanager
async def served(run: Sandbox) -> AsyncIterator[Networked]:
    """Let a new server of this machine answer a sandbox that has a network."""
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    dialer = Dialer(listening.sockets[0].getsockname()[1])
    async with listening, asyncio.timeout(60):
        run.channel.decide_by(dialer)
        yield Networked(run, dialer, server)


@contextlib.asynccontextmanager
async def networked(backend: Backend, network: Network = NETWORK) -> AsyncIterator[Networked]:
    async with started(backend, network=network) as run, served(run) as made:
        yield made
