"""Requests that two parsers could read in different ways: a lenient server sees the allowed host only."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator

import pytest

from agent_kernel.egress.gate import Gate, NotForwarded, gate_for
from agent_kernel.egress.policy import NetworkRule
from tests.clients.node import NodeMissing, find_node
from tests.conftest import Missing

NAME = "api.example.org"
RULE = NetworkRule(NAME)

SERVER = """
const http = require("http");
const lenient = {insecureHTTPParser: true, joinDuplicateHeaders: true};
const server = http.createServer(lenient, (request, response) => {
  request.resume();
  request.on("end", () => response.end(`<<${request.headers.host}|${request.url}>>`));
});
const raw = (request, socket) => socket.end(`<<raw|${request.method} ${request.headers.host}>>`);
server.on("connect", raw);
server.on("upgrade", raw);
server.on("clientError", (error, socket) => socket.destroy());
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""

EVIL = b"Host: evil.example"
GOOD = b"Host: api.example.org"
INNER = b"GET /inner HTTP/1.1\r\nHost: evil.example\r\n\r\n"
STARTS = [b"GET / HTTP/1.1", b"POST /x HTTP/1.1", b"POST / HTTP/1.0", b"GET http://evil.example/ HTTP/1.1"]
STARTS += [b"GET http://api.example.org/ HTTP/1.1", b"GET /  HTTP/1.1", b"GET\t/ HTTP/1.1", b"GET /", b""]
HEADERS = [GOOD, GOOD, GOOD, EVIL, b"host:evil.example", b" " + EVIL, b"X: y\n" + EVIL, b"X: y\r" + EVIL]
HEADERS += [b"Host : evil.example", b"Host\0: x", b"X: a\r\n\t" + EVIL, b"Connection: keep-alive"]
HEADERS += [
    b"Connection: close",
    b"Content-Length: %d" % len(INNER),
    b"Content-Length: 0",
    b"Content-Length: +0",
]
HEADERS += [
    b"Content-Length: 0x2",
    b"Content-Length : 0",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding:\tchunked",
]
HEADERS += [
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, identity",
]
HEADERS += [b"Transfer-Encoding: identity", b"Upgrade: h2c", b"Upgrade: websocket", b"Expect: 100-continue"]
BODIES = [
    b"",
    b"",
    INNER,
    b"0\r\n\r\n",
    b"0\r\n\r\n" + INNER,
    b"5\r\nhello\r\n0\r\n\r\n",
    b"5;x=\n\r\nhello\r\n0\r\n\r\n",
]
BODIES += [
    b"0\r\nX: y\r\n\r\n" + INNER,
    b"%x\r\n%b\r\n0\r\n\r\n" % (len(INNER), INNER),
    b"0x5\r\nhello\r\n0\r\n\r\n",
]
BODIES += [b"-1\r\n", b"5\nhello\n0\n\n" + INNER, b"2\r\nhello\r\n0\r\n\r\n" + INNER]


def stream(chance: random.Random) -> bytes:
    """Return one to three requests, some of them malformed."""
    sent = b""
    for _ in range(chance.randint(1, 3)):
        lines = [
            chance.choices(STARTS, [9, 9, 2, 2, 2, 1, 1, 1, 1])[0],
            GOOD if chance.random() < 0.8 else EVIL,
        ]
        lines += chance.choices(HEADERS, k=chance.randint(0, 3))
        end = b"\n" if chance.random() < 0.05 else b"\r\n"
        sent += end.join([*lines, b"", b""]) + chance.choice(BODIES)
    return sent


def through(gate: Gate, sent: bytes) -> bytes:
    """Return what passes, also before a refusal."""
    passed = b""
    try:
        for at in range(0, len(sent), 10):
            passed += gate.feed(sent[at : at + 10])
    except NotForwarded:
        return passed
    return passed + gate.end()


@pytest.fixture
async def port(missing: Missing) -> AsyncIterator[int]:
    try:
        node = find_node()
    except NodeMissing as error:
        missing(str(error))
    server = await asyncio.create_subprocess_exec(node, "-e", SERVER, stdout=asyncio.subprocess.PIPE)
    assert server.stdout
    yield int(await server.stdout.readline())
    server.kill()
    await server.wait()


async def seen(port: int, sent: bytes) -> list[str]:
    """Return `host|target` of each request that the server reads."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        writer.write_eof()
        return re.findall(r"<<(.*?)>>", (await reader.read()).decode("latin-1"))
    except ConnectionResetError:
        return []
    finally:
        writer.close()


def wrong(requests: list[str]) -> list[str]:
    pattern = rf"{re.escape(NAME)}\|(?!http://evil)"
    return [each for each in requests if not re.match(pattern, each)]


@pytest.mark.parametrize("count", [300, pytest.param(20_000, marks=pytest.mark.slow)])
async def test_server_sees_the_allowed_host_only(port: int, count: int) -> None:
    chance = random.Random(11)
    directly = requests = 0
    for _ in range(count):
        sent = stream(chance)
        passed = through(gate_for(RULE, NAME, chance.choice([80, 8080])), sent)
        if passed:
            found = await seen(port, passed)
            assert wrong(found) == [], (sent, passed)
            requests += len(found)
        if count <= 300:
            directly += len(wrong(await seen(port, sent)))
    assert requests > count / 10
    assert directly > 10 or count > 300, "without the gate the server sees others"
