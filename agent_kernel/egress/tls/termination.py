"""Connections whose requests are read: their TLS ends here, and begins anew towards the server.

They lead to hosts with a secret, and to hosts that a read-only rule allows.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable
from functools import partial

import h11

from agent_kernel.egress.gate import ACCESS_DENIED, HTTP_PORT, Gate, NotForwarded, TlsGate, forbidden
from agent_kernel.egress.hello import ClientHello
from agent_kernel.egress.relay import PIECE, Count, InsideStream, carry
from agent_kernel.egress.secret_hosts import AllowedTarget
from agent_kernel.egress.tls.authority import Authority
from agent_kernel.egress.tls.heads import Heads, HttpRefused
from agent_kernel.egress.tls.http1 import Http1Exchange, Http1Side
from agent_kernel.egress.tls.http2 import Http2Exchange
from agent_kernel.egress.tls.needles import Needles
from agent_kernel.egress.tls.peer import Http2Peer
from agent_kernel.egress.tls.plain import PlaceholderGate, SshGate
from agent_kernel.egress.tls.secrets import DomainSecret, HostSecrets
from agent_kernel.egress.tls.server import ServerSocket
from agent_kernel.egress.tls.stream import HandshakeFailed, SecureStream
from agent_kernel.errors import ConnectDenied

SSH_PORT = 22
HANDSHAKE_SECONDS = 30.0
_PROTOCOLS = ("h2", "http/1.1")

Trust = Callable[[], ssl.SSLContext]
"""Makes a client's context that verifies servers."""


class Termination:
    """Ends the TLS of a container's connections to some hosts, and puts the secrets in place.

    To a host that may only be read, only requests with the methods of reading pass. `trust` makes the context
    that verifies the servers.
    """

    def __init__(
        self,
        secrets: Iterable[DomainSecret],
        authority: Authority,
        trust: Trust = ssl.create_default_context,
    ) -> None:
        self.authority = authority
        self.secrets = tuple(secrets)
        self._trust = trust
        self._contexts: dict[tuple[str, ...], ssl.SSLContext] = {}
        self._placeholders = Needles()
        for each in self.secrets:
            self._placeholders.add(each.placeholder.encode(), b"")
        self._hosts = {
            domain: HostSecrets(
                domain,
                [each for each in self.secrets if each.domain == domain],
                [each for each in self.secrets if each.domain != domain],
            )
            for domain in {each.domain for each in self.secrets}
        }

    def covers(self, name: str) -> bool:
        """Whether a canonical name has a secret."""
        return name in self._hosts

    def check(self, to: AllowedTarget) -> None:
        """Raise `ConnectDenied` if a host cannot be reached now."""
        host = self._hosts.get(to.name)
        if to.rule.read_only and to.port == SSH_PORT:
            raise ConnectDenied(f"the rule `{to.rule}` allows only HTTP, and this is the port of SSH")
        if host is not None and to.port != SSH_PORT and host.unknown is not None:
            raise ConnectDenied(
                f"the value of its secret {host.unknown} is not known to this server any more; a request with"
                " the network policy and its domain_secrets sets it again"
            )

    def guarded(self, gate: Gate, port: int) -> Gate:
        """Return the gate of a connection that is not carried here: no placeholder passes in clear."""
        return PlaceholderGate(gate, self._placeholders, port)

    async def carry(
        self, to: AllowedTarget, stream: InsideStream, connected: socket.socket, count: Count
    ) -> None:
        """Carry one connection and read its requests. `connected` is closed at the end.

        Raises `NotForwarded`, what `count` raises, and `OSError` for failures of the server.
        """
        try:
            if to.port == SSH_PORT and not to.rule.read_only:
                await carry(stream, connected, SshGate(), count)
                return
            if to.port == HTTP_PORT:
                reason = "this host has a secret, so only HTTPS is possible; use https"
                raise NotForwarded(reason, forbidden(reason))
            first, hello = await _read_hello(TlsGate(to.rule, to.name), stream)
            outside = await self._secured(to, hello, connected)
            try:
                await self._exchange(to, stream, first, outside, count)
            finally:
                outside.close()
        finally:
            connected.close()

    async def _secured(self, to: AllowedTarget, hello: ClientHello, connected: socket.socket) -> ServerSocket:
        """Begin TLS with the server, with the protocols that the program offers. Raises as `carry`."""
        protocols = tuple(each for each in _PROTOCOLS if each in hello.protocols)
        if hello.protocols and not protocols:
            kind = "with a secret" if self.covers(to.name) else "that may only be read"
            raise NotForwarded(f"only HTTP is possible to a host {kind}", ACCESS_DENIED)
        outside = ServerSocket(connected, self._context(protocols), to.name)
        try:
            await outside.handshake(HANDSHAKE_SECONDS)
        except BaseException as error:
            outside.close()
            if isinstance(error, ssl.SSLCertVerificationError):
                reason = f"the server's certificate is not valid ({error.verify_message})"
                raise NotForwarded(reason, ACCESS_DENIED) from None
            raise
        return outside

    def _context(self, protocols: tuple[str, ...]) -> ssl.SSLContext:
        if protocols not in self._contexts:
            context = self._trust()
            if protocols:
                context.set_alpn_protocols(list(protocols))
            self._contexts[protocols] = context
        return self._contexts[protocols]

    async def _exchange(
        self,
        to: AllowedTarget,
        stream: InsideStream,
        first: bytes,
        outside: ServerSocket,
        count: Count,
    ) -> None:
        """Begin TLS with the program, with the protocol that the server chose, and carry HTTP."""
        chosen = outside.protocol
        inside = SecureStream(stream, self.authority.context(to.name, [chosen] if chosen else []), first)

        async def read(limit: int) -> bytes:
            data = await outside.read(limit)
            count(0, len(data))
            return data

        async def write(data: bytes) -> None:
            count(len(data), 0)
            await outside.write(data)

        async def gone() -> None:
            await outside.read(1)

        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                await inside.handshake()
            # A host without a secret still gets no placeholder, and repeats no value.
            secrets = self._hosts.get(to.name) or HostSecrets(to.name, (), self.secrets)
            heads = Heads(secrets, to)
            exchange: Http1Exchange | Http2Exchange
            if chosen == "h2":
                server = Http2Peer(read, write, client=True)
                streams = await server.most_streams()
                program = Http2Peer(inside.read, inside.write, client=False, streams=streams)
                exchange = Http2Exchange(heads, program, server)
            else:
                sides = Http1Side(h11.SERVER, inside.read, inside.write), Http1Side(h11.CLIENT, read, write)
                exchange = Http1Exchange(heads, *sides, gone)
            await _run(exchange, inside)
        except HandshakeFailed as error:
            raise NotForwarded(str(error)) from None


async def _run(exchange: Http1Exchange | Http2Exchange, inside: SecureStream) -> None:
    try:
        await exchange.run()
    except HttpRefused as error:
        raise NotForwarded(error.reason, goodbye=partial(_refuse, exchange, inside, error.reason)) from None
    await inside.finish()


async def _refuse(exchange: Http1Exchange | Http2Exchange, inside: SecureStream, reason: str) -> None:
    await exchange.refuse(reason)
    await inside.finish()


async def _read_hello(gate: TlsGate, stream: InsideStream) -> tuple[bytes, ClientHello]:
    """Return what a program sends up to its whole ClientHello, and that. Raises `NotForwarded`."""
    first = bytearray()
    while gate.hello is None:
        data = await stream.read(PIECE)
        if not data:
            raise NotForwarded("its TLS ClientHello is incomplete")
        first += data
        gate.feed(data)
    return bytes(first), gate.hello
