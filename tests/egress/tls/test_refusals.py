"""Connections to and around hosts with a secret that are refused, or pass as before."""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path

import pytest

from agent_kernel.egress.broker import Broker
from agent_kernel.egress.tls.authority import Authority
from agent_kernel.egress.tls.secrets import DomainSecret
from agent_kernel.egress.tls.termination import Termination
from agent_kernel.errors import ConnectDenied
from tests.egress.inside import program
from tests.egress.test_broker import Outside, echo
from tests.egress.test_broker import outside as plain_server
from tests.egress.tls.outside import NAME, OTHER, PLACEHOLDER, TOKEN, Given, HttpsServer, Start, gateway

outside = plain_server


def broker_of(outside: Outside, *secrets: DomainSecret) -> Broker:
    made = outside.broker(*(f"tcp://{name}:{port}" for name in (NAME, OTHER) for port in (22, 80, 443, 5432)))
    made.termination = Termination(secrets or (TOKEN,), Authority())
    return made


async def test_plain_http_to_a_host_with_a_secret(outside: Outside) -> None:
    async with program(broker_of(outside), NAME, 80) as inside:
        answer = await inside.ask(f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"use https" in answer
    assert (outside.record.decision, outside.record.sent) == ("refused", 0)


async def test_only_ssh_on_the_port_of_ssh(outside: Outside) -> None:
    broker = broker_of(outside)
    async with program(broker, NAME, 22) as inside:
        assert await inside.ask(b"SSH-2.0-x\r\n") == b"SSH-2.0-x\r\n"
    with pytest.raises(ConnectDenied, match="only SSH is possible"):
        async with program(broker, NAME, 22) as inside:
            await inside.ask(b"\x16\x03\x01")


async def test_anything_but_tls_is_refused(outside: Outside) -> None:
    async with program(broker_of(outside), NAME, 5432) as inside:
        await inside.ask(b"GET / HTTP/1.1\r\n\r\n")
    assert outside.record.reason == "its first bytes are no TLS ClientHello"


BASIC = base64.b64encode(f"user:{PLACEHOLDER}".encode()).decode()


@pytest.mark.parametrize(
    ("port", "sent"),
    [
        (80, f"GET / HTTP/1.1\r\nHost: {OTHER}\r\nX-Key: {PLACEHOLDER}\r\n\r\n"),
        (80, f"GET / HTTP/1.1\r\nHost: {OTHER}\r\nAuthorization: Basic {BASIC}\r\n\r\n"),
        (80, f"POST / HTTP/1.1\r\nHost: {OTHER}\r\nContent-Length: 31\r\n\r\n{PLACEHOLDER}"),
        (5432, f"password {PLACEHOLDER}"),
    ],
)
async def test_placeholder_never_leaves_in_clear(outside: Outside, port: int, sent: str) -> None:
    async with program(broker_of(outside), OTHER, port) as inside:
        reader, writer = await inside.streams()
        writer.write(sent.encode())
        await reader.read()
        writer.close()
        await asyncio.gather(inside.task, return_exceptions=True)
    assert (outside.record.decision, outside.record.sent) == ("refused", 0)
    assert "a secret is used" in outside.record.reason


async def test_placeholder_in_pieces_is_found(outside: Outside) -> None:
    first, second = PLACEHOLDER[:9].encode(), PLACEHOLDER[9:].encode()
    async with program(broker_of(outside), OTHER, 5432) as inside:
        reader, writer = await inside.streams()
        writer.write(first)
        assert await reader.readexactly(len(first)) == first
        writer.write(second)
        assert await reader.read() == b""
        writer.close()
        await asyncio.gather(inside.task, return_exceptions=True)
    assert (outside.record.decision, outside.record.sent) == ("refused", len(first))


async def test_tls_without_a_secret_passes_untouched(https: Start) -> None:
    server = await https("h2")
    async with program(server.guarded(), OTHER, 443) as inside:
        context = server.trust()
        context.set_alpn_protocols(["h2"])
        _, writer = await asyncio.open_connection(sock=inside.outside, ssl=context, server_hostname=OTHER)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        writer.transport.abort()


async def test_unknown_value_is_refused_in_words(outside: Outside) -> None:
    gone = DomainSecret(NAME, "TOKEN", PLACEHOLDER)
    with pytest.raises(ConnectDenied, match="the value of its secret TOKEN is not known"):
        async with program(broker_of(outside, gone), NAME, 443) as inside:
            await inside.ask()
    assert (outside.record.decision, outside.asked) == ("refused", [])
    async with program(broker_of(outside, gone), NAME, 22) as inside:
        assert await inside.ask(b"SSH-2.0-x\r\n") == b"SSH-2.0-x\r\n"


async def test_other_protocols_inside_tls_are_refused(https: Start, tmp_path: Path) -> None:
    server = await https()
    broker = server.guarded()
    async with program(broker, NAME, 443) as inside:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["imap"])
        with pytest.raises(ssl.SSLError, match=r"(?i)access.denied"):
            await asyncio.open_connection(sock=inside.outside, ssl=context, server_hostname=NAME)
        await inside.task
    assert server.record.reason == "only HTTP is possible to a host with a secret"


async def raw(server: HttpsServer, folder: Path, sent: str) -> bytes:
    """Send a request over HTTP/1.1 and return the answer to its end."""
    async with gateway(server.guarded(), folder) as way:
        context = ssl.create_default_context(cafile=str(way.trusted))
        reader, writer = await asyncio.open_connection("127.0.0.1", int(way.url.rpartition(":")[2]))
        writer.write(f"CONNECT {NAME}:443 HTTP/1.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await writer.start_tls(context, server_hostname=NAME)
        writer.write(sent.encode())
        try:
            return await reader.read()
        finally:
            writer.transport.abort()


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (
            f"GET / HTTP/1.1\r\nHost: {NAME}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "WebSockets",
        ),
        (f"CONNECT {NAME}:443 HTTP/1.1\r\nHost: {NAME}\r\n\r\n", "names its host in an unusual way"),
        ("GET / HTTP/1.0\r\n\r\n", "names no host"),
        (f"GET https://{NAME}/ HTTP/1.1\r\nHost: {NAME}\r\n\r\n", "names its host in an unusual way"),
        (f"GET / HTTP/1.1\r\nHost: {NAME}\r\nHost: {OTHER}\r\n\r\n", "malformed"),
        (f"GET /%73{PLACEHOLDER[1:]} HTTP/1.1\r\nHost: {NAME}\r\n\r\n", "in the address of a request"),
        (
            f"POST / HTTP/1.1\r\nHost: {NAME}\r\nTransfer-Encoding: chunked\r\n\r\n"
            f"0\r\nX-A: {PLACEHOLDER}\r\n\r\n",
            "in a trailer of a request",
        ),
        ("nonsense\r\n\r\n", "malformed"),
    ],
)
async def test_refused_http1(https: Start, tmp_path: Path, sent: str, reason: str) -> None:
    server = await https("http/1.1")
    answer = await raw(server, tmp_path, sent)
    assert reason in server.record.reason
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert server.got == []


async def test_closing_and_continuing_http1(https: Start, tmp_path: Path) -> None:
    server = await https("http/1.1")
    server.answer = lambda got: Given(headers=[(b"connection", b"close")], pieces=[got.body])
    sent = f"POST / HTTP/1.1\r\nHost: {NAME}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok"
    answer = await raw(server, tmp_path, sent)
    assert answer.startswith(b"HTTP/1.1 100 ")
    assert answer.endswith(b"2\r\nok\r\n0\r\n\r\n")
    old = await raw(server, tmp_path, f"GET / HTTP/1.0\r\nHost: {NAME}\r\n\r\n")
    assert old.endswith(b"\r\n\r\n")


async def test_changed_secrets_end_open_connections(https: Start) -> None:
    server = await https("http/1.1")
    server.serve = echo
    broker = server.guarded()
    async with program(broker, NAME, 22) as inside:
        await inside.accepted.wait()
        broker.termination = None
        with pytest.raises(ConnectDenied, match="the secrets of this host have changed"):
            await inside.task
