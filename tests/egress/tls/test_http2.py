"""HTTP/2 frame by frame: trailers, resets, GOAWAY, refusals beside open streams, and slow readers."""

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
import pytest

from tests.egress.tls.outside import (
    NAME,
    PLACEHOLDER,
    VALUE,
    Gateway,
    Given,
    HttpsServer,
    Start,
    gateway,
)

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


@pytest.fixture
async def frames(tmp_path: Path) -> AsyncIterator[Frames]:
    server = Frames(tmp_path)
    await server.start()
    yield server
    server.server.close()
    await server.server.wait_closed()


async def test_trailers_pass_without_the_value(https: Start, tmp_path: Path) -> None:
    server = await https("h2")
    server.answer = lambda got: Given(
        headers=[(b"content-type", b"application/grpc")],
        trailers=[(b"grpc-status", b"0"), (b"grpc-message", VALUE.encode())],
    )
    async with talking(server, tmp_path) as client:
        stream = client.ask([*POST, ("te", "trailers"), ("authorization", PLACEHOLDER)])
        await client.ended(stream)
        trailers = client.headers(stream, h2.events.TrailersReceived)
        assert trailers == {"grpc-status": "0", "grpc-message": PLACEHOLDER}
        assert client.body(stream) == b"here\n"
    assert server.got[0].headers[b"te"] == b"trailers"
    assert server.got[0].headers[b"authorization"] == VALUE.encode()


async def test_refusal_ends_the_connection_after_its_answer(https: Start, tmp_path: Path) -> None:
    server = await https("h2")
    async with talking(server, tmp_path) as client:
        good = client.ask()
        await client.ended(good)
        bad = client.ask([*GET[:3], (":path", f"/?{PLACEHOLDER}")])
        await client.ended(bad)
        assert client.headers(bad)[":status"] == "403"
        assert b"in the address of a request" in client.body(bad)
        terminated = await client.until(of(h2.events.ConnectionTerminated))
        assert terminated.last_stream_id == bad
    assert [got.target for got in server.got] == [b"/"]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([*GET[:2], (":authority", "evil.example"), GET[3]], "names a different host: evil.example"),
        ([*GET, ("host", "evil.example")], "malformed|two hosts|broken"),
        ([GET[0], (":scheme", "http"), *GET[2:]], "not for https"),
        ([(":method", PLACEHOLDER), *GET[1:]], "as the method of a request"),
    ],
)
async def test_request_with_a_wrong_head_is_refused(
    https: Start, tmp_path: Path, headers: list[tuple[str, str]], reason: str
) -> None:
    server = await https("h2")
    async with talking(server, tmp_path) as client:
        client.http.config.validate_outbound_headers = False
        stream = client.ask(headers)
        with pytest.raises(EOFError):
            await client.until(lambda event: False)
        answers = [event for event in client.events if of(h2.events.ResponseReceived, stream)(event)]
        assert all(dict(event.headers)[":status"] == "403" for event in answers)
    assert server.got == []


async def test_trailer_with_a_placeholder_is_refused(https: Start, tmp_path: Path) -> None:
    server = await https("h2")
    async with talking(server, tmp_path) as client:
        stream = client.ask(POST, end=False)
        client.http.send_data(stream, b"body")
        client.http.send_headers(stream, [("x-key", PLACEHOLDER)], end_stream=True)
        client.send()
        await client.ended(stream)
        assert b"in a trailer of a request" in client.body(stream)
    assert server.got == []


async def test_goaway_lets_open_streams_end(frames: Frames, tmp_path: Path) -> None:
    def on(http: h2.connection.H2Connection, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            stream = event.stream_id
            http.send_headers(stream, [(":status", "200")])
            http.send_data(stream, b"first ")
            http._data_to_send += b"\0\0\x08\x07\0\0\0\0\0" + stream.to_bytes(4, "big") + bytes(4)
        elif isinstance(event, h2.events.StreamEnded):
            http.send_data(event.stream_id, b"second", end_stream=True)

    frames.on = on
    async with talking(frames, tmp_path) as client:
        # h2 takes a GOAWAY for the end of everything.
        client.http.state_machine._transitions = _without_goaway(client.http)
        stream = client.ask(POST, end=False)
        await client.until(of(h2.events.DataReceived, stream))
        client.http.send_data(stream, b"go on", end_stream=True)
        client.send()
        await client.ended(stream)
        assert client.body(stream) == b"first second"
        with pytest.raises(EOFError):
            await client.until(lambda event: False)


def _without_goaway(http: h2.connection.H2Connection) -> dict[Any, Any]:
    """Return the transitions of a client that goes on after a GOAWAY."""
    from h2.connection import ConnectionInputs

    made = dict(http.state_machine._transitions)
    for state, given in list(made):
        if given == ConnectionInputs.RECV_GOAWAY:
            made[state, given] = (None, state)
    return made


async def test_program_opens_as_many_streams_as_the_server_allows(frames: Frames, tmp_path: Path) -> None:
    frames.on = lambda http, event: None
    frames.most = 2
    async with talking(frames, tmp_path) as client:
        client.ask()
        await client.until(of(h2.events.RemoteSettingsChanged))
        assert client.http.remote_settings.max_concurrent_streams == 2
        client.ask()
        await frames.until(of(h2.events.RequestReceived, 3))


async def test_resets_pass_both_ways(frames: Frames, tmp_path: Path) -> None:
    def on(http: h2.connection.H2Connection, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived) and event.stream_ended is not None:
            http.reset_stream(event.stream_id, 11)

    frames.on = on
    async with talking(frames, tmp_path) as client:
        refused = client.ask()
        assert (await client.until(of(h2.events.StreamReset, refused))).error_code == 11
        left = client.ask(POST, end=False)
        await frames.until(of(h2.events.RequestReceived, left))
        client.http.reset_stream(left, 8)
        client.send()
        assert (await frames.until(of(h2.events.StreamReset, left))).error_code == 8


async def test_early_answer_ends_the_request(frames: Frames, tmp_path: Path) -> None:
    def on(http: h2.connection.H2Connection, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            http.send_headers(event.stream_id, [(":status", "413")], end_stream=True)

    frames.on = on
    async with talking(frames, tmp_path) as client:
        stream = client.ask(POST, end=False)
        await client.until(of(h2.events.StreamReset, stream))
        assert client.headers(stream)[":status"] == "413"
        again = client.ask(POST, end=False)  # the connection goes on
        await client.until(of(h2.events.StreamReset, again))


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
async def test_slow_program_pauses_the_server(https: Start, tmp_path: Path, protocol: str) -> None:
    given = 0

    def pieces() -> Any:
        nonlocal given
        for _ in range(1024):
            given += 1 << 16
            yield bytes(1 << 16)

    class Pouring(list[bytes]):
        def __iter__(self) -> Any:
            return pieces()

    server = await https(protocol)
    server.answer = lambda got: Given(pieces=Pouring())
    async with gateway(server.guarded(), tmp_path) as way:
        context = ssl.create_default_context(cafile=str(way.trusted))
        context.set_alpn_protocols([protocol])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", int(way.url.rpartition(":")[2]), limit=1024
        )
        writer.write(f"CONNECT {NAME}:443 HTTP/1.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await writer.start_tls(context, server_hostname=NAME)
        if protocol == "h2":
            client = Client(reader, writer)
            client.http.increment_flow_control_window((1 << 30) - 1)
            client.http.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 30})
            client.ask()
        else:
            writer.write(f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        before = -1
        while given != before:  # until nothing moves any more
            before = given
            await asyncio.sleep(0.2)
        assert 0 < given < 32 << 20
        writer.transport.abort()


LONG = bytes(range(256)) * 1000


def _goaway(last: int) -> bytes:
    return b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4, "big") + bytes(4)


@pytest.mark.parametrize("farewell", ["goaway", "reset", "close"])
async def test_answer_survives_the_servers_end(frames: Frames, tmp_path: Path, farewell: str) -> None:
    def on(http: h2.connection.H2Connection, event: Any) -> None:
        if not isinstance(event, h2.events.RequestReceived):
            return
        stream = event.stream_id
        http.send_headers(stream, [(":status", "200")])
        for at in range(0, len(LONG), 16_000):
            http.send_data(stream, LONG[at : at + 16_000])
        http.end_stream(stream)
        if farewell == "reset":  # it does not want the rest of the request
            http.reset_stream(stream, 0)
        else:
            http._data_to_send += _goaway(stream)
            frames.closing = farewell == "close"

    frames.on = on
    async with talking(frames, tmp_path) as client:
        client.http.state_machine._transitions = _without_goaway(client.http)
        stream = client.ask(POST, end=farewell != "reset")
        await client.until(of(h2.events.ResponseReceived, stream))
        if farewell == "close":
            await frames.closed.wait()
        await client.ended(stream)  # its windows are smaller than the answer
        assert client.body(stream) == LONG
        if farewell == "reset":
            assert (await client.until(of(h2.events.StreamReset, stream))).error_code == 0
        else:
            with pytest.raises(EOFError):
                await client.until(lambda event: False)
    assert frames.record.failure is None


async def test_goaway_refuses_streams_after_its_last(frames: Frames, tmp_path: Path) -> None:
    def on(http: h2.connection.H2Connection, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived) and event.stream_id == 3:
            http._data_to_send += _goaway(1)

    frames.on = on
    async with talking(frames, tmp_path) as client:
        client.http.state_machine._transitions = _without_goaway(client.http)
        client.ask(POST, end=False)
        late = client.ask()
        assert (await client.until(of(h2.events.StreamReset, late))).error_code == 7


async def test_broken_server_keeps_whole_answers(frames: Frames, tmp_path: Path) -> None:
    def on(http: h2.connection.H2Connection, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            http.send_headers(event.stream_id, [(":status", "200")])
            http.send_data(event.stream_id, LONG[:16_000], end_stream=event.stream_id == 1)
            frames.closing = event.stream_id == 3

    frames.on = on
    async with talking(frames, tmp_path) as client:
        client.http.state_machine._transitions = _without_goaway(client.http)
        whole, part = client.ask(), client.ask()
        await client.ended(whole)
        assert client.body(whole) == LONG[:16_000]
        assert (await client.until(of(h2.events.StreamReset, part))).error_code == 2
        with pytest.raises(EOFError):
            await client.until(lambda event: False)
    assert frames.record.failure == "the HTTP/2 connection was broken"
