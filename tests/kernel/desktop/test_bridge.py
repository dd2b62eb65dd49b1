"""The page of the desktop: what it shows and takes, and what it refuses. A plain client is the browser."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from agent_kernel.kernel.desktop.bridge import ADDRESS, ENDED, MOST_WAITING, REFUSED, REPLACED, DesktopBridge
from agent_kernel.kernel.desktop.tokens import OneTimeTokens
from agent_kernel.protocol.desktop.watching import WatchedScreen
from agent_kernel.sandboxes.base import Backend
from agent_kernel.tools.computer.watching import watch_desktop
from tests.sandboxes.inside import started
from tests.tools.computer.conftest import Desk, desk, desktop_programs
from tests.tools.computer.watching import typed

__all__ = ["desk", "desktop_programs"]

Json = dict[str, Any]
pytestmark = [pytest.mark.bubblewrap, pytest.mark.asyncio(loop_scope="module")]


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Tab:
    """A connection as a page makes it."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self.connection = connection
        self._stream = connection.protocol.stream if connection.protocol else None

    def leave(self) -> None:
        """Close the connection without waiting for the other side: the loop may end before it answers."""
        self.connection.close()
        if self._stream is not None:
            self._stream.close()

    async def tell(self, **content: Any) -> None:
        await self.connection.write_message(json.dumps(content))

    async def until(self, is_it: Callable[[Json], bool]) -> Json:
        """The next message that is as wanted; frames are acknowledged."""
        while True:
            async with asyncio.timeout(30):
                message = await self.connection.read_message()
            assert isinstance(message, bytes), self.connection.close_reason
            content: Json = json.loads(message.partition(b"\n")[0])
            if "piece" in content and content["piece"]["last"]:
                await self.tell(type="seen", frame=content["piece"]["frame"])
            if is_it(content):
                return content

    async def state(self, **wanted: Any) -> Json:
        def is_it(content: Json) -> bool:
            state = content.get("screen")
            return state is not None and all(state[name] == value for name, value in wanted.items())

        return await self.until(is_it)

    async def closed(self) -> tuple[int | None, str | None]:
        async with asyncio.timeout(30):
            while await self.connection.read_message() is not None:
                pass
        return self.connection.close_code, self.connection.close_reason


Connect = Callable[..., Coroutine[Any, Any, Tab]]


@pytest_asyncio.fixture(loop_scope="module")
async def connect() -> AsyncIterator[Connect]:
    """Connects to a port of the bridge, with a token unless it is None."""
    tabs = []

    async def connected(port: int, token: str | None = None, **headers: str | None) -> Tab:
        given = {"Origin": f"http://{ADDRESS}:{port}", **headers}
        request = HTTPRequest(
            f"ws://{ADDRESS}:{port}/socket", headers={name: each for name, each in given.items() if each}
        )
        tabs.append(tab := Tab(await websocket_connect(request)))
        if token is not None:
            await tab.tell(token=token)
        return tab

    yield connected
    for tab in tabs:
        tab.leave()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture(loop_scope="module")
async def bridge(desk: Desk, clock: Clock) -> AsyncIterator[DesktopBridge]:
    """A bridge to the desktop of the shared sandbox."""

    @asynccontextmanager
    async def watch(container_id: str, place: str) -> AsyncIterator[WatchedScreen]:
        assert container_id == "c"
        async with watch_desktop(desk.sandbox.channel, place) as watched:
            yield watched

    found = DesktopBridge(watch, OneTimeTokens(60, clock))
    yield found
    found.close()


def token_of(address: str) -> str:
    start, _, token = address.partition("/#")
    assert start.startswith(f"http://{ADDRESS}:")
    return token


async def test_the_user_acts_in_the_tab(bridge: DesktopBridge, connect: Connect, desk: Desk) -> None:
    async with bridge.link("c") as (address, used):
        tab = await connect(bridge.port, token_of(address))
        await used.wait()
    piece = (await tab.until(lambda each: "piece" in each))["piece"]
    assert (piece["width"], piece["height"], piece["top"]) == (1280, 800, 0)
    await tab.tell(type="hands", events=typed("unheard"))
    await tab.tell(type="take", id="1")
    assert await tab.until(lambda each: "answered" in each) == {"answered": "1", "why": None}
    await tab.state(taken="you")
    place = {**desk.at(100, 100), "button": 1}
    events = [{"type": "press", **place}, {"type": "release", **place}, *typed("from the tab")]
    await tab.tell(type="hands", events=events)
    await desk.told("text", lambda each: each["value"].endswith("from the tab"))
    waiting = asyncio.create_task(desk.act({"type": "screenshot"}))
    await tab.tell(type="hand_back", id="2")
    done = await waiting
    assert "The user took over" in done.said[0]
    await tab.state(taken="")


async def test_a_token_opens_once(bridge: DesktopBridge, connect: Connect) -> None:
    async with bridge.link("c") as (address, _):
        token = token_of(address)
        first = await connect(bridge.port, token)
        await first.state(open=True)
        for wrong in (token, "", token[:-1], None, 3):
            tab = await connect(bridge.port)
            await tab.tell(token=wrong)
            code, why = await tab.closed()
            assert code == REFUSED
            assert why == "This link was used before, or has expired. Get a new one: %screen open"
        await first.tell(type="look")
        await first.until(lambda each: "piece" in each)
    async with bridge.link("c") as (address, _):
        second = await connect(bridge.port, token_of(address))
        await second.state(open=True)
        assert await first.closed() == (REPLACED, "The desktop was opened in another tab.")


async def test_an_expired_token_is_refused(bridge: DesktopBridge, connect: Connect, clock: Clock) -> None:
    async with bridge.link("c") as (address, used):
        clock.now += 60
        tab = await connect(bridge.port, token_of(address))
        assert (await tab.closed())[0] == REFUSED
        assert not used.is_set()
    with pytest.raises(ConnectionRefusedError):
        await connect(bridge.port)


async def test_a_link_that_was_left_is_useless(bridge: DesktopBridge, connect: Connect) -> None:
    async with bridge.link("c") as (first, _), bridge.link("c") as (second, _):
        tab = await connect(bridge.port, token_of(first))
        assert (await tab.closed())[0] == REFUSED
    async with bridge.link("c"):
        tab = await connect(bridge.port, token_of(second))
        assert (await tab.closed())[0] == REFUSED


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://{ADDRESS}"},
        {"Origin": f"http://{ADDRESS}:1"},
        {"Origin": None},
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Host": ADDRESS},
    ],
)
async def test_other_origins_and_hosts_are_refused(
    bridge: DesktopBridge, connect: Connect, headers: dict[str, str | None]
) -> None:
    async with bridge.link("c") as (address, used):
        given = {name: each and each.format(port=bridge.port) for name, each in headers.items()}
        with pytest.raises(HTTPClientError, match="403"):
            await connect(bridge.port, token_of(address), **given)
        assert not used.is_set()
        status, _, _ = await asyncio.to_thread(get, bridge.port, {"Host": "evil.example"})
        assert status == 403
        tab = await connect(bridge.port, token_of(address))  # the token was not used up
        await tab.state(open=True)


def get(port: int, headers: dict[str, str], path: str = "/") -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=30)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    found = response.status, response.headers, response.read()
    connection.close()
    return found


async def test_the_page_may_load_nothing_from_elsewhere_and_be_in_no_frame(bridge: DesktopBridge) -> None:
    async with bridge.link("c") as (address, _):
        for path, kind in (
            ("/", "text/html"),
            ("/desktop.js", "text/javascript"),
            ("/desktop.css", "text/css"),
        ):
            status, headers, body = await asyncio.to_thread(get, bridge.port, {}, path)
            assert (status, headers.get_content_type()) == (200, kind)
            assert body
            assert token_of(address).encode() not in body
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            assert headers["Server"] is None
        assert (await asyncio.to_thread(get, bridge.port, {}, "/../etc/passwd"))[0] == 404


async def test_nothing_but_loopback_reaches_it(bridge: DesktopBridge) -> None:
    async with bridge.link("c"):
        assert bridge._server is not None
        names = [each.getsockname() for each in bridge._server._sockets.values()]
        assert names == [(ADDRESS, bridge.port)]
        request = type(
            "Request", (), {"remote_ip": "192.0.2.7", "headers": {"Host": f"{ADDRESS}:{bridge.port}"}}
        )
        assert bridge.refusal(request) == "This page is for this machine."
        with socket.socket(socket.AF_INET6) as six, pytest.raises(OSError, match="refused"):
            six.connect(("::1", bridge.port))


async def test_connections_without_a_token_are_few(bridge: DesktopBridge, connect: Connect) -> None:
    async with bridge.link("c"):
        tabs = [await connect(bridge.port) for _ in range(MOST_WAITING)]
        with pytest.raises(HTTPClientError, match="403"):
            await connect(bridge.port)
        await tabs[0].connection.write_message("no JSON")
        assert (await tabs[0].closed())[0] == REFUSED
        await connect(bridge.port)


async def test_the_bridge_ends_with_its_kernel(bridge: DesktopBridge, connect: Connect, desk: Desk) -> None:
    async with bridge.link("c") as (address, _):
        tab = await connect(bridge.port, token_of(address))
        await tab.tell(type="take", id="1")
        await tab.state(taken="you")
    bridge.close()
    assert await tab.closed() == (ENDED, "The kernel has ended.")
    with pytest.raises(ConnectionRefusedError):
        await connect(bridge.port)
    assert (await desk.act({"type": "screenshot"})).status == "ok"  # it was handed back


async def test_the_tab_ends_with_its_container(
    bubblewrap_backend: Backend, connect: Connect, clock: Clock
) -> None:
    async with started(bubblewrap_backend) as sandbox:

        @asynccontextmanager
        async def watch(container_id: str, place: str) -> AsyncIterator[WatchedScreen]:
            async with watch_desktop(sandbox.channel, place) as watched:
                yield watched

        bridge = DesktopBridge(watch, OneTimeTokens(60, clock))
        async with bridge.link("c") as (address, _):
            tab = await connect(bridge.port, token_of(address))
            await tab.state(open=True, running=False)  # a desktop is not started by watching
        await bubblewrap_backend.delete(sandbox.ref)
        code, why = await tab.closed()
        assert code == ENDED
        assert why
    with pytest.raises(ConnectionRefusedError):
        await connect(bridge.port)
