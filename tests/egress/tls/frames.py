"""A client and a server of HTTP/2 whose frames a test decides about."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings

from tests.egress.tls.outside import NAME, Gateway, HttpsServer, gateway

GET = [(":method", "GET"), (":scheme", "https"), (":authority", NAME), (":path", "/")]
POST = [(":method", "POST"), *GET[1:]]


class Client:
    """A client that sends what it is told to, and collects the events of each stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.events: list[Any] = []
        self._reader = reader
        self._writer = writer
        self.http.initiate_connection()

    def send(self) -> None:
        self._writer.write(self.http.data_to_send())

    def ask(self, headers: list[tuple[str, str]] = GET, *, end: bool = True) -> int:
        stream = self.http.get_next_available_stream_id()
        self.http.send_headers(stream, headers, end_stream=end)
        self.send()
        return stream

    async def until(self, wanted: Callable[[Any], bool], *, takes: bool = True) -> Any:
        """Read until an event, which is returned. Raises `EOFError` at the end."""
        while not (found := [event for event in self.events if wanted(event)]):
            data = await self._reader.read(1 << 16)
            if not data:
                raise EOFError
            for event in self.http.receive_data(data):
                if takes and isinstance(event, h2.events.DataReceived):
                    self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self.events.append(event)
            self.send()
        return found[0]

    async def ended(self, stream: int) -> None:
        await self.until(of(h2.events.StreamEnded, stream))

    def headers(self, stream: int, kind: type = h2.events.ResponseReceived) -> dict[str, str]:
        (event,) = filter(of(kind, stream), self.events)
        return dict(event.headers)

    def body(self, stream: int) -> bytes:
        return b"".join(event.data for event in self.events if of(h2.events.DataReceived, stream)(event))


def of(kind: type, stream: int | None = None) -> Callable[[Any], bool]:
    """Return a test for events of one kind, of a stream if it is given."""
    return lambda event: isinstance(event, kind) and stream in (None, getattr(event, "stream_id", None))


@asynccontextmanager
async def connected(way: Gateway) -> AsyncIterator[Client]:
    context = ssl.create_default_context(cafile=str(way.trusted))
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", int(way.url.rpartition(":")[2]))
    writer.write(f"CONNECT {NAME}:443 HTTP/1.1\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    await writer.start_tls(context, server_hostname=NAME)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def talking(server: HttpsServer, folder: Path) -> AsyncIterator[Client]:
    async with gateway(server.guarded(), folder) as way, connected(way) as client:
        yield client


class Frames(HttpsServer):
    """A server of HTTP/2 whose frames a test writes itself, by `on`."""

    on: Callable[[h2.connection.H2Connection, Any], None]

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ("h2",))
        self.events: list[Any] = []
        self.news = asyncio.Condition()
        self.closing = False
        self.closed = asyncio.Event()
        self.most = 100

    async def _http2(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        most = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.most}
        http.local_settings = h2.settings.Settings(client=False, initial_values=most)
        http.initiate_connection()
        writer.write(http.data_to_send())
        while data := await reader.read(1 << 16):
            for event in http.receive_data(data):
                self.events.append(event)
                self.on(http, event)
            writer.write(http.data_to_send())
            async with self.news:
                self.news.notify_all()
            if self.closing:
                await writer.drain()
                writer.close()
                await writer.wait_closed()
                self.closed.set()
                return

    async def until(self, wanted: Callable[[Any], bool]) -> Any:
        async with self.news:
            await self.news.wait_for(lambda: any(map(wanted, self.events)))
        return next(filter(wanted, self.events))
