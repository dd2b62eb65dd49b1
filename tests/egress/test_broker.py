from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from ipaddress import ip_address

import pytest

from agent_kernel.egress import addresses
from agent_kernel.egress.broker import Broker, ConnectionRecord
from agent_kernel.egress.limits import NetworkLimits
from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.egress.resolve import dial
from agent_kernel.errors import ConnectDenied
from tests.egress.inside import program
from tests.egress.test_hello import openssl_hello

LOOPBACK = ip_address("127.0.0.1")
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


class Outside:
    """A real server on loopback, and a broker for which every name is there, whatever the port."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.dialled: list[tuple[Address, int]] = []
        self.records: list[ConnectionRecord] = []
        self.answers: list[list[Address]] = []
        self.accepted = 0
        self.serve: Serve = echo

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            await self.serve(reader, writer)
        except ConnectionError:
            writer.close()

    async def resolve(self, name: str) -> Sequence[Address]:
        self.asked.append(name)
        return self.answers.pop(0) if self.answers else [LOOPBACK]

    async def dial(self, address: Address, port: int) -> socket.socket:
        self.dialled.append((address, port))
        return await dial(LOOPBACK, self.port)

    def broker(self, *entries: str, limits: NetworkLimits | None = None) -> Broker:
        policy = NetworkPolicy.parse(entries) if entries else NetworkPolicy()
        return Broker(
            policy,
            limits or NetworkLimits(),
            self.records.append,
            resolver=self.resolve,
            dialler=self.dial,
        )

    @property
    def record(self) -> ConnectionRecord:
        """The only record so far."""
        (record,) = self.records
        return record


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    server = Outside()
    await server.start()
    yield server
    server.server.close()
    await server.server.wait_closed()


async def refusal(broker: Broker, name: str, port: int, sent: bytes = b"") -> str:
    """Return why a connection is refused."""
    with pytest.raises(ConnectDenied) as caught:
        async with program(broker, name, port) as inside:
            await inside.ask(sent, end=False)
    assert str(caught.value).isprintable()
    return caught.value.message


async def test_bytes_pass_both_ways(outside: Outside) -> None:
    sent = b"\0" + bytes(range(256)) * 8192
    broker = outside.broker("tcp://db:5432")
    async with program(broker, "DB.", 5432) as inside:
        assert await inside.ask(sent) == sent
    record = outside.record
    assert (record.name, record.port, record.address) == ("db", 5432, "127.0.0.1")
    assert (record.decision, record.rule, record.failure) == ("allowed", "tcp://db:5432", None)
    assert (record.sent, record.received) == (len(sent), len(sent))
    (use,) = broker.used().destinations
    assert (use.name, use.allowed, use.refused, use.sent) == ("db", 1, 0, len(sent))
    assert broker.open == 0


async def test_half_close_in_both_orders(outside: Outside) -> None:
    async def counts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d" % len(await reader.read()))
        writer.close()

    async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"banner")
        writer.write_eof()
        got.append(await reader.read())
        writer.close()

    got: list[bytes] = []
    broker = outside.broker("tcp://db:5432")
    outside.serve = counts
    async with program(broker, "db", 5432) as inside:
        assert await inside.ask(b"x" * 100_000) == b"100000"
    outside.serve = first
    async with program(broker, "db", 5432) as inside:
        reader, writer = await inside.streams()
        assert await reader.read() == b"banner"
        writer.write(b"later")
        writer.close()
        await inside.task
    assert got == [b"later"]


async def test_bytes_after_the_servers_end_are_no_failure(outside: Outside) -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"answer")
        writer.close()

    outside.serve = answers
    async with program(outside.broker("tcp://db:5432"), "db", 5432) as inside:
        reader, writer = await inside.streams()
        assert await reader.read() == b"answer"
        writer.write(b"goodbye")  # as TLS does: the server's system resets the connection
        writer.write_eof()
        await inside.task
        writer.close()
    assert (outside.record.decision, outside.record.failure) == ("allowed", None)


@pytest.mark.parametrize(
    "name",
    [
        "example.com",
        "evilexample.org",
        "127.0.0.1",
        "2852039166",
        "0x7f.1",
        "a.example.org.evil.example",
        "x\0",
    ],
)
async def test_refused_name_is_never_resolved(outside: Outside, name: str) -> None:
    message = await refusal(outside.broker("example.org", "*.example.org"), name, 443)
    assert message.endswith("not in the allowlist.") or "host name" in message
    assert (outside.asked, outside.dialled) == ([], [])
    assert (outside.record.decision, outside.record.rule, outside.record.address) == ("refused", None, None)
    assert outside.record.reason in message


async def test_empty_policy_refuses(outside: Outside) -> None:
    assert await refusal(outside.broker(), "db", 5432) == "db:5432 was refused: not in the allowlist."


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "fd00::1", "64:ff9b::7f00:1"]
)
async def test_public_name_never_leads_inside(outside: Outside, address: str) -> None:
    outside.answers = [[ip_address(address)]]
    assert f"({address})" in await refusal(outside.broker("example.org"), "example.org", 5000)
    assert outside.dialled == []
    assert (outside.record.decision, outside.record.rule) == ("refused", "example.org")


async def test_only_checked_addresses_are_dialled(outside: Outside) -> None:
    public = ip_address("1.1.1.1")
    outside.answers = [[ip_address("10.0.0.1"), public], [ip_address("10.0.0.1")]]
    broker = outside.broker("example.org")
    async with program(broker, "example.org", 5000) as inside:
        assert await inside.ask(b"hello") == b"hello"
    assert (outside.asked, outside.dialled) == (["example.org"], [(public, 5000)])
    assert outside.record.address == "1.1.1.1"
    await refusal(broker, "example.org", 5000)  # the answer has changed


REQUEST = b"GET /x HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n"


async def test_http_passes_for_its_host(outside: Outside) -> None:
    async with program(outside.broker("tcp://web:80"), "web", 80) as inside:
        assert await inside.ask(REQUEST % b"WEB:80") == REQUEST % b"WEB:80"


async def test_http_for_another_host_gets_403(outside: Outside) -> None:
    async with program(outside.broker("tcp://web:80"), "web", 80) as inside:
        answer = await inside.ask(REQUEST % b"evil.example")
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"its Host header names a different host: evil.example" in answer
    assert (outside.record.decision, outside.record.sent) == ("refused", 0)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (openssl_hello("evil.example"), "its TLS ClientHello names a different server: evil.example"),
        (openssl_hello(None), "its TLS ClientHello names no server"),
        (REQUEST % b"web.internal", "its first bytes are no TLS ClientHello"),
    ],
)
async def test_wrong_tls_gets_an_alert(outside: Outside, sent: bytes, reason: str) -> None:
    async with program(outside.broker("tcp://web.internal:443"), "web.internal", 443) as inside:
        assert await inside.ask(sent) == bytes.fromhex("15030300020231")
    assert (outside.record.decision, outside.record.reason, outside.record.sent) == ("refused", reason, 0)


async def test_openssl_client_reports_the_alert(outside: Outside) -> None:
    async with program(outside.broker("tcp://web.internal:443"), "web.internal", 443) as inside:
        context = ssl.create_default_context()
        with pytest.raises(ssl.SSLError, match=r"(?i)access.denied"):
            await asyncio.open_connection(sock=inside.outside, ssl=context, server_hostname="evil.example")
        await inside.task


async def test_failed_connection_is_an_os_error(outside: Outside) -> None:
    outside.server.close()
    await outside.server.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        async with program(outside.broker("tcp://db:5432"), "db", 5432) as inside:
            await inside.ask()
    assert (outside.record.decision, outside.record.failure) == ("allowed", "Connection refused")


async def test_unknown_name_is_an_os_error(outside: Outside) -> None:
    outside.answers = [[]]
    with pytest.raises(OSError, match="no address"):
        async with program(outside.broker("example.org"), "example.org", 443) as inside:
            await inside.ask()
    assert outside.record.failure == "the name has no address"


async def test_cancelling_closes_the_connection(outside: Outside) -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            ended.set()
            writer.close()

    outside.serve = serve
    broker = outside.broker("tcp://db:5432")
    async with program(broker, "db", 5432) as inside:
        await inside.accepted.wait()
        assert broker.open == 1
    await asyncio.wait_for(ended.wait(), 60)
    assert (broker.open, outside.record.decision) == (0, "allowed")


async def test_narrower_policy_ends_open_connections(outside: Outside) -> None:
    broker = outside.broker("tcp://db:5432", "tcp://db:5433")
    async with program(broker, "db", 5432) as gone, program(broker, "db", 5433) as kept:
        await gone.accepted.wait()
        await kept.accepted.wait()
        broker.policy = NetworkPolicy.parse(["tcp://db:5433"])
        broker.policy = NetworkPolicy.parse(["tcp://db:5433"])
        with pytest.raises(ConnectDenied, match="db:5432 was refused: it is no longer in the allowlist"):
            await gone.task
        assert await kept.ask(b"still here") == b"still here"
    assert "not in the allowlist" in await refusal(broker, "db", 5432)


@pytest.mark.parametrize(
    ("entry", "name", "port"),
    [
        ("tcp://git.internal:22", "GIT.internal.", 22),
        ("tcp://127.0.0.1:22", "127.0.0.1", 22),
        ("tcp://[::1]:22", "::1", 22),
        ("*.example.org", "a.example.org", 9418),
        ("example.org:9418", "example.org", 9418),
    ],
)
async def test_same_policy_set_anew_ends_no_connection(
    outside: Outside, entry: str, name: str, port: int
) -> None:
    outside.answers = [[ip_address("1.1.1.1")]] if "example" in name else []
    broker = outside.broker(entry)
    async with program(broker, name, port) as inside:
        await inside.accepted.wait()
        for policy in ([entry], [entry, "other.example:9418"], ["*.example.org:22", entry]):
            broker.policy = NetworkPolicy.parse(policy)
        assert await inside.ask(b"\xff" * 8) == b"\xff" * 8
    assert outside.record.decision == "allowed"


async def test_this_machine_needs_a_private_rule(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ip_address("1.1.1.1")
    monkeypatch.setattr(addresses, "is_own", lambda address: address == own)
    outside.answers = [[own], [own]]
    message = await refusal(outside.broker("example.org"), "example.org", 5000)
    assert message.endswith("its name leads to this machine (1.1.1.1).")
    assert outside.dialled == []
    async with program(outside.broker("tcp://example.org:5000"), "example.org", 5000) as inside:
        assert await inside.ask(b"hello") == b"hello"


async def test_slow_program_pauses_the_server(outside: Outside) -> None:
    written = 0

    async def pours(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        for _ in range(512):
            writer.write(bytes(1 << 16))
            await writer.drain()
            written += 1 << 16
        writer.close()

    outside.serve = pours
    async with program(outside.broker("tcp://db:5432"), "db", 5432) as inside:
        await inside.accepted.wait()
        before = -1
        while written != before:  # until nothing moves any more
            before = written
            await asyncio.sleep(0.1)
        assert written < 24 << 20
        assert len(await inside.ask()) == 512 << 16
