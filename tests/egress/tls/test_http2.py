"""HTTP/2 frame by frame: trailers, resets, GOAWAY, refusals beside open streams, and slow readers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from agent_kernel.egress.tls import peer
from tests.egress.tls.frames import GET, POST, Client, Frames, of, talking
from tests.egress.tls.outside import NAME, PLACEHOLDER, VALUE, Given, Start, gateway


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


@pytest.mark.parametrize(
    ("said", "seconds", "failure"),
    [
        (b"", 0.05, "the server did not begin HTTP/2 in time"),
        (b"\0\0\x06\x04\0\0\0\0\0", 0.05, "the server did not begin HTTP/2 in time"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 60, "the HTTP/2 connection was broken"),
    ],
    ids=["nothing", "half", "something else"],
)
async def test_server_without_settings_is_given_up(
    https: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes, seconds: float, failure: str
) -> None:
    server = await https("h2")

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        while await reader.read(1 << 16):
            pass

    monkeypatch.setattr(server, "_http2", silent)
    monkeypatch.setattr(peer, "SETTINGS_SECONDS", seconds)
    async with talking(server, tmp_path) as client:
        client.ask()
        with pytest.raises((EOFError, ConnectionResetError)):
            await client.until(lambda event: False)
    assert server.record.failure == failure


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
