"""Hosts that may only be read: real clients through a broker to real HTTPS servers."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest

from agent_kernel.egress.broker import Broker
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.egress.secret_hosts import UnreadableHosts
from agent_kernel.egress.tls.authority import Authority
from agent_kernel.egress.tls.secrets import DomainSecret
from agent_kernel.egress.tls.termination import Termination
from agent_kernel.errors import ConnectDenied
from tests.egress.inside import program
from tests.egress.test_broker import Outside
from tests.egress.test_broker import outside as plain_server
from tests.egress.tls.outside import (
    NAME,
    OTHER,
    PLACEHOLDER,
    TOKEN,
    VALUE,
    Given,
    HttpsServer,
    Start,
    gateway,
)

outside = plain_server

BOTH = pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
RULE = f"GET {NAME}"
URL = f"https://{NAME}/a"
FORBIDDEN = ["POST", "PUT", "DELETE", "PATCH", "get", "Head", "BREW"]


def reading(server: Outside, *entries: str) -> Broker:
    """A broker for which every name leads to the server, by a public address."""
    server.answers = [[ip_address("9.9.9.9")] for _ in range(20)]
    return server.broker(*(entries or (RULE,)))


@asynccontextmanager
async def client(
    server: HttpsServer, folder: Path, *secrets: DomainSecret
) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client whose connections the rule limits."""
    broker = reading(server)
    broker.termination = Termination(secrets, Authority(), server.trust)
    async with gateway(broker, folder) as way:
        context = ssl.create_default_context(cafile=str(way.trusted))
        async with httpx.AsyncClient(http2=True, verify=context, proxy=way.url, timeout=20) as made:
            yield made


async def send(web: httpx.AsyncClient, method: str, **more: str) -> httpx.Response:
    body = b"" if method.upper() in ("GET", "HEAD") else b"x"
    request = web.build_request("GET", URL, headers=more, content=body)
    request.method = method  # httpx writes methods in capitals
    return await web.send(request)


@BOTH
async def test_other_methods_never_arrive(https: Start, tmp_path: Path, protocol: str) -> None:
    server = await https(protocol)
    server.answer = lambda got: Given(pieces=[])
    async with client(server, tmp_path) as web:
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = await send(web, method)
            assert answer.status_code == 200
            assert answer.http_version == {"h2": "HTTP/2", "http/1.1": "HTTP/1.1"}[protocol]
        for method in FORBIDDEN:
            answer = await send(web, method)
            reason = f"the rule `{RULE}` allows only GET, HEAD and OPTIONS, not {method}"
            assert (answer.status_code, reason in answer.text) == (403, True)
            record = server.records[-1]
            assert (record.decision, record.rule, record.reason) == ("refused", RULE, reason)
    assert [got.method for got in server.got] == [b"GET", b"HEAD", b"OPTIONS"]


@BOTH
async def test_response_without_secrets_is_not_changed(https: Start, tmp_path: Path, protocol: str) -> None:
    server = await https(protocol)
    headers = [(b"content-encoding", b"compress"), (b"content-length", b"5")]
    server.answer = lambda got: Given(headers=headers, pieces=[b"coded"])
    async with (
        client(server, tmp_path) as web,
        web.stream("GET", URL, headers={"Accept-Encoding": "compress"}) as answer,
    ):
        assert b"".join([piece async for piece in answer.aiter_raw()]) == b"coded"
        assert (answer.headers["content-encoding"], answer.headers["content-length"]) == ("compress", "5")
    assert server.got[0].headers[b"accept-encoding"] == b"compress"


async def test_read_only_host_with_a_secret(https: Start, tmp_path: Path) -> None:
    server = await https("http/1.1")
    server.answer = lambda got: Given(pieces=[got.headers[b"x-key"]])
    async with client(server, tmp_path, TOKEN) as web:
        assert (await send(web, "GET", **{"X-Key": PLACEHOLDER})).text == PLACEHOLDER
        assert (await send(web, "POST", **{"X-Key": PLACEHOLDER})).status_code == 403
        answer = await send(web, "GET", **{"X-Key": "a", "Connection": "Upgrade", "Upgrade": "websocket"})
        assert "upgrades are not possible to a host that may only be read" in answer.text
    assert [got.headers[b"x-key"] for got in server.got] == [VALUE.encode()]


async def test_secret_of_another_host_stays_inside(https: Start, tmp_path: Path) -> None:
    server = await https("http/1.1")
    async with client(server, tmp_path, DomainSecret(OTHER, "TOKEN", PLACEHOLDER, VALUE)) as web:
        answer = await send(web, "GET", **{"X-Key": PLACEHOLDER})
        assert "a secret of another host is used in its request" in answer.text
        assert (await send(web, "GET")).status_code == 200
    assert len(server.got) == 1


async def test_port_80_of_a_read_only_host(outside: Outside) -> None:
    broker = reading(outside)
    asked = f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode()
    async with program(broker, NAME, 80) as inside:
        assert await inside.ask(asked) == asked
    async with program(broker, NAME, 80) as inside:
        answer = await inside.ask(asked.replace(b"GET", b"DELETE"))
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert (outside.records[-1].decision, outside.records[-1].sent) == ("refused", 0)


async def test_ssh_to_a_read_only_host_is_refused(outside: Outside) -> None:
    broker = reading(outside)
    broker.termination = Termination((TOKEN,), Authority())
    with pytest.raises(ConnectDenied, match="allows only HTTP, and this is the port of SSH"):
        async with program(broker, NAME, 22) as inside:
            await inside.ask(b"SSH-2.0-x\r\n")
    assert outside.asked == []


@pytest.mark.parametrize("termination", [None, UnreadableHosts(())])
async def test_what_cannot_be_read_is_refused(outside: Outside, termination: UnreadableHosts | None) -> None:
    broker = reading(outside)
    broker.termination = termination
    with pytest.raises(ConnectDenied, match="its requests have to be read, and the packages"):
        async with program(broker, NAME, 443) as inside:
            await inside.ask()
    assert (outside.record.decision, outside.asked) == ("refused", [])


async def test_new_limit_ends_unlimited_connections(outside: Outside) -> None:
    broker = reading(outside, f"{NAME}:5000")
    async with program(broker, NAME, 5000) as inside:
        await inside.accepted.wait()
        broker.policy = NetworkPolicy.parse([RULE, f"{NAME}:443"])
        with pytest.raises(ConnectDenied, match=f"it is now limited by the rule `{RULE}`"):
            await inside.task
