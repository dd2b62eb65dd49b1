"""Indexes of package tools: real web servers on loopback, which the public names of a test lead to."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address
from pathlib import Path

from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.egress.presets.ask import Route
from agent_kernel.egress.resolve import dial
from tests.conftest import Missing

PUBLIC = ip_address("8.8.8.8")
"""What names lead to, as far as the checks see. The dialler connects to loopback instead."""

_END = "Connection: close\r\n"
Certificate = tuple[Path, Path]


def certificate(folder: Path, missing: Missing) -> Certificate:
    """Make a certificate for the names below `example.org`, its own authority, and its key."""
    openssl = shutil.which("openssl") or missing("openssl is missing: apt-get install openssl")
    made, key = folder / "certificate.pem", folder / "key.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=index", "-addext", "subjectAltName=DNS:*.example.org"]
    command = [openssl, "req", "-x509", *kind, *names, "-out", str(made), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return made, key


class World:
    """Web servers: port 443 speaks TLS, all others plain HTTP. `pages` maps `HOST/path` to an answer.

    An answer is the bytes of a page, or the URL that it redirects to.
    """

    def __init__(self) -> None:
        self.pages: dict[str, bytes | str] = {}
        self.asked: list[str] = []
        self.heads: list[bytes] = []
        self.addresses: dict[str, list[Address]] = {}
        self.resolved: list[str] = []
        self.ports: dict[bool, int] = {}
        self.trust: ssl.SSLContext | None = None

    def route(self, *private: str) -> Route:
        """Return how an operator reaches them who names the private services."""
        rules = NetworkPolicy.parse(private).rules if private else ()
        return Route(rules, self.resolve, self.dial, self.trust)

    async def resolve(self, name: str) -> Sequence[Address]:
        self.resolved.append(name)
        return self.addresses.get(name, [PUBLIC])

    async def dial(self, address: Address, port: int) -> socket.socket:
        return await dial(ip_address("127.0.0.1"), self.ports[port == 443])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # the client reads only a part
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            host = next(line[6:] for line in head.split(b"\r\n") if line.lower().startswith(b"host: "))
            where = f"{host.decode()}{head.split()[1].decode()}"
            self.asked.append(where)
            writer.write(self._answer(where))
            await writer.drain()
        writer.close()

    def _answer(self, where: str) -> bytes:
        page = self.pages.get(where)
        if page is None:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        if isinstance(page, str):
            return f"HTTP/1.1 302 Found\r\nLocation: {page}\r\n{_END}Content-Length: 0\r\n\r\n".encode()
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n%bContent-Length: %d\r\n\r\n%b" % (
            _END.encode(),
            len(page),
            page,
        )


@contextlib.asynccontextmanager
async def served(made: Certificate) -> AsyncIterator[World]:
    world = World()
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(*made)
    world.trust = ssl.create_default_context(cafile=str(made[0]))
    async with contextlib.AsyncExitStack() as servers:
        for context in (None, secure):
            server = await asyncio.start_server(world.serve, "127.0.0.1", 0, ssl=context)
            await servers.enter_async_context(server)
            world.ports[context is secure] = server.sockets[0].getsockname()[1]
        yield world
