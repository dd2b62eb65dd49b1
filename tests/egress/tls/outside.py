"""Real HTTPS servers on loopback, and a way to them for real clients: a proxy that asks a broker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import h11
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent_kernel.egress.broker import Broker
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.egress.tls.authority import Authority
from agent_kernel.egress.tls.secrets import DomainSecret
from agent_kernel.egress.tls.termination import Termination
from tests.egress.inside import Program
from tests.egress.test_broker import Outside

NAME = "api.internal"
OTHER = "other.internal"
VALUE = "canary-value-0123456789"
PLACEHOLDER = "secret_placeholder_of_the_token"

Headers = list[tuple[bytes, bytes]]


@dataclass
class Got:
    """A request as the server has received it."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    body: bytes
    version: str


@dataclass
class Given:
    """A response. `pieces` are sent one by one."""

    status: int = 200
    headers: Headers = field(default_factory=list)
    pieces: Sequence[bytes] = (b"here\n",)
    trailers: Headers = field(default_factory=list)


Handler = Callable[[Got], Given]


def certificate(names: Sequence[str]) -> bytes:
    """A certificate that is its own authority, and its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + made.public_bytes(serialization.Encoding.PEM)


class HttpsServer(Outside):
    """Speaks HTTP/2 and HTTP/1.1, as `protocols` says, and keeps every request in `got`."""

    def __init__(self, folder: Path, protocols: Sequence[str] = ("h2", "http/1.1")) -> None:
        super().__init__()
        pem = folder / "server.pem"
        if not pem.exists():
            pem.write_bytes(certificate([NAME, OTHER]))
        self.ca = pem
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pem)
        if protocols:
            self.context.set_alpn_protocols(list(protocols))
        self.got: list[Got] = []
        self.answer: Handler = lambda got: Given()
        self.serve = self._respond

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        try:
            await (self._http2 if chosen == "h2" else self._http1)(reader, writer)
        finally:
            writer.transport.abort()

    async def _http1(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER)
        request: Any = None
        body = bytearray()
        while True:
            if http.they_are_waiting_for_100_continue:
                writer.write(http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await reader.read(1 << 16))
            elif isinstance(event, h11.Request):
                request, body = event, bytearray()
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                got = Got(request.method, request.target, dict(request.headers), bytes(body), "1.1")
                self.got.append(got)
                await self._send1(http, writer, self.answer(got))
                if http.our_state is not h11.DONE:
                    return
                http.start_next_cycle()
            else:
                return

    @staticmethod
    async def _send1(http: h11.Connection, writer: asyncio.StreamWriter, given: Given) -> None:
        writer.write(http.send(h11.Response(status_code=given.status, headers=given.headers)) or b"")
        for piece in given.pieces:
            writer.write(http.send(h11.Data(data=piece)) or b"")
            await writer.drain()
        writer.write(http.send(h11.EndOfMessage()) or b"")
        await writer.drain()

    async def _http2(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        http.initiate_connection()
        writer.write(http.data_to_send())
        open_streams: dict[int, Got] = {}
        news = asyncio.Event()
        sending: set[asyncio.Task[None]] = set()
        try:
            while data := await reader.read(1 << 16):
                for event in http.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        headers = dict(event.headers)
                        got = Got(headers[b":method"], headers[b":path"], headers, b"", "2")
                        open_streams[event.stream_id] = got
                    elif isinstance(event, h2.events.DataReceived):
                        open_streams[event.stream_id].body += event.data
                        http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        got = open_streams.pop(event.stream_id)
                        self.got.append(got)
                        given = self.answer(got)
                        sending.add(
                            asyncio.create_task(self._send2(http, writer, event.stream_id, given, news))
                        )
                news.set()
                writer.write(http.data_to_send())
                await writer.drain()
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)

    @staticmethod
    async def _send2(
        http: h2.connection.H2Connection,
        writer: asyncio.StreamWriter,
        stream: int,
        given: Given,
        news: asyncio.Event,
    ) -> None:
        http.send_headers(stream, [(b":status", b"%d" % given.status), *given.headers])
        for piece in given.pieces:
            while piece:
                room = min(http.local_flow_control_window(stream), http.max_outbound_frame_size, len(piece))
                if not room:
                    news.clear()
                    await news.wait()
                    continue
                http.send_data(stream, piece[:room])
                piece = piece[room:]
                writer.write(http.data_to_send())
                await writer.drain()
        if given.trailers:
            http.send_headers(stream, given.trailers, end_stream=True)
        else:
            http.end_stream(stream)
        writer.write(http.data_to_send())
        await writer.drain()

    def guarded(self, *secrets: DomainSecret, policy: NetworkPolicy | None = None) -> Broker:
        """A broker of a container with these secrets."""
        allowed = policy or NetworkPolicy.parse(
            [f"tcp://{name}:{port}" for name in (NAME, OTHER) for port in (443, 8443, 80, 22, 5000)]
        )
        broker = Broker(allowed, record=self.records.append, resolver=self.resolve, dialler=self.dial)
        broker.termination = Termination(secrets or (TOKEN,), Authority(), self.trust)
        return broker

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))


TOKEN = DomainSecret(NAME, "TOKEN", PLACEHOLDER, VALUE)


class Gateway:
    """An HTTP proxy on loopback for real clients: each CONNECT becomes a connection of a broker.

    `trusted` is a file with the certificate authority of the broker's container.
    """

    def __init__(self, broker: Broker, trusted: Path) -> None:
        self._broker = broker
        self.trusted = trusted
        self._programs: list[Program] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            # A callback's task that is cancelled would be logged as an error.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._carry(reader, writer)
        finally:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        name, _, port = head.split()[1].decode().partition(":")
        program = Program(self._broker, name, int(port))
        self._programs.append(program)
        inner, out = await program.streams()
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        both = [asyncio.create_task(_pump(reader, out)), asyncio.create_task(_pump(inner, writer))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in both:
                task.cancel()
            out.transport.abort()  # the program is gone, whatever is still on its way to it
            await asyncio.gather(*both, program.task, return_exceptions=True)

    async def aclose(self) -> None:
        self.server.close()
        for task in self._tasks:
            task.cancel()
        for program in self._programs:
            program.task.cancel()
        await asyncio.gather(
            *self._tasks, *(program.task for program in self._programs), return_exceptions=True
        )
        await self.server.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@contextlib.asynccontextmanager
async def gateway(broker: Broker, folder: Path) -> AsyncIterator[Gateway]:
    """Serve real clients while the block runs."""
    termination: Any = broker.termination
    trusted = folder / f"inside-{os.urandom(4).hex()}.pem"
    trusted.write_bytes(termination.authority.pem)
    served = Gateway(broker, trusted)
    await served.start()
    try:
        async with asyncio.timeout(60):
            yield served
    finally:
        await served.aclose()


Start = Callable[..., Awaitable[HttpsServer]]
