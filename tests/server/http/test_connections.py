"""Clients that are slow, never come to the point, or do not read: let go, and hold little meanwhile."""

from __future__ import annotations

import asyncio
import json
import select
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.types import Message
from websockets.sync.client import connect

from agent_kernel.errors import TooSlow
from agent_kernel.keys import KeyLimits
from agent_kernel.models.catalogue import Models
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.server.bodies import Body
from tests.server.keyed import OPERATOR, SHELL, Keyed, keyed_server

pytestmark = pytest.mark.bubblewrap

AUTH = f"Host: localhost\r\nAuthorization: Bearer {OPERATOR}\r\n".encode()
POST = b"POST /v1/responses HTTP/1.1\r\n" + AUTH + b"Content-Type: application/json\r\n"
JSON = {"Content-Type": "application/json"}
LONG = 60.0
"""Seconds in which whatever is waited for has happened, on whatever machine."""


@pytest.fixture
def server(tmp_path: Path, toolbox: Toolbox) -> Iterator[Keyed]:
    with keyed_server(tmp_path, toolbox, {}, max_connections=8) as server:
        yield server


def address(server: Keyed) -> tuple[str, int]:
    url = httpx2.URL(server.url)
    assert url.port is not None
    return url.host, url.port


def opened(server: Keyed, *sent: bytes) -> socket.socket:
    client = socket.create_connection(address(server), timeout=LONG)
    for each in sent:
        client.sendall(each)
    return client


def answer(client: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    received = b""
    try:
        while piece := client.recv(1 << 16):
            received += piece
    except ConnectionResetError:
        pass
    return received


def said(text: bytes) -> tuple[int, dict[str, Any]]:
    head, _, body = text.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]


# --- asking ------------------------------------------------------------------------------------------------


def test_a_connection_that_never_asks_is_closed(server: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_kernel.server.connections.HEAD", 0.2)
    with closing(opened(server)) as client:
        assert answer(client) == b""


def test_a_head_that_never_ends_is_refused(server: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
    """However steadily it trickles, and also where the connection has been good for a request before."""
    with closing(opened(server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")) as client:
        first = b""
        while b'"ok"' not in first:
            first += client.recv(1 << 16)
        monkeypatch.setattr("agent_kernel.server.connections.HEAD", 0.5)
        client.sendall(b"GET /v1/models HTTP/1.1\r\nX: ")
        stop = threading.Event()

        def trickle() -> None:
            while not stop.wait(0.05):
                try:
                    client.send(b"x")
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            status, error = said(answer(client))
        finally:
            stop.set()
            thread.join()
    assert (status, error["type"]) == (408, "invalid_request_error")


def test_a_body_that_does_not_come_is_refused(server: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_kernel.server.bodies.PATIENCE", 0.3)
    multipart = b"Content-Type: multipart/form-data; boundary=b\r\n"
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nda'
    for begun in (
        POST + b"Content-Length: 100\r\n\r\n{",
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        b"POST /v1/files HTTP/1.1\r\n" + AUTH + multipart + b"Content-Length: 1000\r\n\r\n" + part,
    ):
        with closing(opened(server, begun)) as client:
            status, error = said(answer(client))
        assert (status, error["code"]) == (408, "too_slow")
    assert not list((server.folder / "files").glob("*"))


async def test_patience_grows_with_what_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_kernel.server.bodies.PATIENCE", 0.2)

    def body(first: bytes) -> Body:
        async def come() -> AsyncIterator[Message]:
            yield {"type": "http.request", "body": first, "more_body": True}
            await asyncio.sleep(0.6)
            yield {"type": "http.request", "body": b"", "more_body": False}

        return Body({}, come().__anext__)

    large = body(b"x" * 600_000)
    await large()
    await large()
    assert large.whole
    small = body(b"x")
    await small()
    with pytest.raises(TooSlow):
        await small()


def test_a_body_that_goes_on_after_its_refusal_is_cut_off(
    server: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_kernel.server.connections.REST", 1)
    head = b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    with closing(opened(server, head, b"x" * 100)) as client:
        status, error = said(answer(client))
    assert (status, error["code"]) == (401, "invalid_api_key")


def test_a_head_that_is_too_large_and_what_is_no_http(server: Keyed) -> None:
    large = b"X: " + b"x" * 40_000 + b"\r\n"
    for sent, status in (
        (b"GET /v1/models HTTP/1.1\r\n" + AUTH + large + b"Connection: close\r\n\r\n", 431),
        (b"GET /v1/models HTTP/1.1\r\nX: " + b"x" * 400_000, 431),
        (b"GET /" + b"x" * 400_000, 431),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n", 400),
    ):
        with closing(opened(server)) as client:
            try:
                client.sendall(sent)
            except (ConnectionResetError, BrokenPipeError):
                continue  # it was refused before all of it was there
            received = answer(client)
        if received:  # else the rest of what was sent met a closed connection
            assert said(received)[0] == status
            assert said(received)[1]["type"] == "invalid_request_error"
    assert httpx2.get(server.root + "/healthz").status_code == 200


# --- how many ----------------------------------------------------------------------------------------------


def test_more_connections_than_there_may_be(server: Keyed) -> None:
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(closing(opened(server)))
        with closing(opened(server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")) as client:
            received = answer(client)
            assert (said(received)[0], said(received)[1]["code"]) == (503, "too_many_connections")
            assert b"retry-after: 1" in received.lower()
        many = [stack.enter_context(closing(opened(server))) for _ in range(16)]
        assert answer(many[-1]) == b"", "far too many are not even told"
    deadline = time.monotonic() + LONG
    while not _is_well(server):  # it has to notice that they are gone
        assert time.monotonic() < deadline


def _is_well(server: Keyed) -> bool:
    try:
        return httpx2.get(server.root + "/healthz").status_code == 200
    except httpx2.TransportError:
        return False


def test_requests_that_wait_on_a_socket_hold_no_more_than_one(
    server: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_kernel.server.socket.JSON_LIMIT", 1000)
    url = server.url.replace("http:", "ws:") + "/responses"
    with connect(url, additional_headers=server.headers("")) as client:
        client.send(json.dumps({"type": "response.create", "input": "wait", "tools": [SHELL]}))
        while json.loads(client.recv(timeout=LONG))["type"] != "response.output_item.done":
            pass
        for size in (600, 600):
            client.send(json.dumps({"type": "response.create", "input": "chat", "instructions": "x" * size}))
        while (event := json.loads(client.recv(timeout=LONG)))["type"] != "error":
            pass
        assert event["error"]["code"] == "too_many_requests"


def test_bodies_that_come_slowly_hold_so_much_and_no_more(
    server: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_kernel.server.bodies.TOGETHER", 100_000)
    with closing(opened(server, POST + b"Content-Length: 200000\r\n\r\n", b" " * 60_000)):
        deadline = time.monotonic() + LONG
        body = b'{"input": "chat", "instructions": "' + b"x" * 50_000 + b'"}'
        while (
            refused := server.ask("", "POST", "/v1/responses", content=body, headers=JSON)
        ).status_code == 200:
            assert time.monotonic() < deadline  # the first must have come so far
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "bodies_limit_reached")
        assert server.ask("", "POST", "/v1/responses", json={"input": "chat"}).status_code == 200
    deadline = time.monotonic() + LONG
    while server.ask("", "POST", "/v1/responses", content=body, headers=JSON).status_code != 200:
        assert time.monotonic() < deadline  # what the one that left has held is free


def test_messages_that_come_slowly_hold_so_much_and_no_more(
    server: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_kernel.server.bodies.TOGETHER", 100_000)
    monkeypatch.setattr("agent_kernel.server.connections.ALONE", 20_000)
    with ExitStack() as stack:
        slow = [stack.enter_context(half_a_message(server, 45_000)) for _ in range(3)]
        ended = select.select(slow, [], [], LONG)[0]
        assert 1 <= len(ended) < 3, "not all of them"
        assert {answer(each)[:4] for each in ended} == {b"\x88\x18\x03\xf5"}, "closed with 1013"


@contextmanager
def half_a_message(server: Keyed, size: int) -> Iterator[socket.socket]:
    """A WebSocket on which `size` bytes of a frame of 60000 have come."""
    head = b"GET /v1/responses HTTP/1.1\r\n" + AUTH + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    head += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    with closing(opened(server, head)) as client:
        received = b""
        while b"\r\n\r\n" not in received:
            received += client.recv(1)
        client.sendall(b"\x81\xfe" + (60_000).to_bytes(2, "big") + b"\0\0\0\0" + b" " * size)
        yield client


# --- reading -----------------------------------------------------------------------------------------------


class Endless:
    """A Chat Completions API that speaks for ever, and counts how much was taken from it."""

    def __init__(self) -> None:
        self.sent = 0
        self.left = threading.Event()
        self._url: Any = None

    def __enter__(self) -> str:
        ready = threading.Event()

        async def serve() -> None:
            self._stop = asyncio.Event()
            self._loop = asyncio.get_running_loop()
            listening = await asyncio.start_server(self._answer, "127.0.0.1", 0)
            self._url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
            ready.set()
            await self._stop.wait()
            listening.close()

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()))
        self._thread.start()
        ready.wait()
        return str(self._url)

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        delta = {"index": 0, "delta": {"content": "x" * 4000}, "finish_reason": None}
        line = f"data: {json.dumps({**chunk, 'choices': [delta]})}\n\n".encode()
        try:
            while True:
                writer.write(line)
                await writer.drain()
                self.sent += len(line)
        except ConnectionError:
            pass
        finally:
            self.left.set()
            writer.close()


BUFFERS = 48 << 20
"""Bytes that the system's own buffers of two connections may hold, generously."""


@pytest.mark.parametrize("kind", ["stream", "socket"])
def test_who_does_not_read_is_let_go_and_holds_little_meanwhile(
    tmp_path: Path, toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The model stands still while nobody reads; then the connection is reset, and the turn written down."""
    monkeypatch.setattr("agent_kernel.server.serving.UNREAD", 2)
    endless = Endless()
    with endless as upstream, ExitStack() as stack:
        models = Models(upstream_url=upstream, upstream_key="sk-upstream", default="chat/m")
        server = stack.enter_context(
            keyed_server(tmp_path, toolbox, {"alice": KeyLimits(turns=1)}, models=models)
        )
        if kind == "stream":
            body = json.dumps({"input": "speak", "stream": True}).encode()
            head = f"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            auth = (
                f"Content-Type: application/json\r\nAuthorization: Bearer {server.secrets['alice']}\r\n\r\n"
            )
            stack.enter_context(closing(opened(server, (head + auth).encode(), body)))
        else:
            url = server.url.replace("http:", "ws:") + "/responses"
            client = stack.enter_context(
                connect(
                    url,
                    additional_headers=server.headers("alice"),
                    max_queue=1,
                    ping_interval=None,
                    close_timeout=0.1,
                )
            )
            client.send(json.dumps({"type": "response.create", "input": "speak"}))
        assert endless.left.wait(LONG), "the model went on speaking to nobody"
        assert 0 < endless.sent < BUFFERS
        deadline = time.monotonic() + LONG
        while (
            'turns_total{key="alice",status="incomplete"} 1'
            not in server.ask("alice", "GET", "/metrics").text
        ):
            assert time.monotonic() < deadline
