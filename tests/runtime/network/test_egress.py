"""The egress of a container: it follows the policy in the store, records, and names what was refused."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.egress.limits import NetworkLimits
from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.errors import ConnectDenied
from agent_kernel.policy.rules import Policy
from agent_kernel.runtime.network import egress
from agent_kernel.runtime.network.bound import NetworkBound
from agent_kernel.runtime.network.egress import NetworkOptions, RunningCall
from agent_kernel.runtime.network.networks import Networks, RowPolicy
from agent_kernel.runtime.network.policy import ContainerNetwork
from agent_kernel.runtime.network.refusals import MOST_LINES
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.sandboxes.egress import DenyAll, Egress
from agent_kernel.store.records import ContainerRow
from agent_kernel.store.rows import Rows
from tests.egress.inside import Program

Audited = Callable[..., list[dict[str, Any]]]


async def loopback(name: str) -> list[Address]:
    return [ip_address("127.0.0.1")]


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """The port of a server on loopback that greets and sends back what it gets."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello ")
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def row(policy: NetworkPolicy, bound: NetworkPolicy | None = None) -> ContainerRow:
    network = ContainerNetwork.new(policy, bound or policy).as_json() if policy.rules or bound else "{}"
    return ContainerRow("cntr_a", "n", "toy", 1, 1, 20, "running", None, "alice", network=network)


class Made:
    """A container in a store, and its networks in one process or more."""

    def __init__(self, store: Rows, audit: AuditLog, policy: NetworkPolicy) -> None:
        self.store, self.audit, self.policy = store, audit, policy
        self.networks = self.another()

    def another(self, rules: Policy | None = None, limits: NetworkLimits | None = None) -> Networks:
        options = NetworkOptions(limits or NetworkLimits(), resolver=loopback, rules=rules or Policy())
        return Networks(self.store, NetworkBound(self.policy), options, self.audit)

    async def egress(self) -> Egress:
        found = await self.store.container("cntr_a")
        assert found is not None
        return self.networks.access(found).egress

    async def ask(self, port: int, name: str = "echo.internal") -> bytes:
        return await Program(await self.egress(), name, port).ask(b"there")

    async def allowed(self) -> list[str]:
        """The entries of the policy in the store."""
        found = await self.store.container("cntr_a")
        assert found is not None
        return ContainerNetwork.of_json(found.network).policy.entries()

    async def allow(self, policy: NetworkPolicy) -> None:
        """As another process does: only the store changes."""
        found = await self.store.container("cntr_a")
        assert found is not None
        changed = ContainerNetwork.of_json(found.network).changed(policy)
        await self.store.put_network("cntr_a", changed.as_json())


@pytest.fixture
async def made(store: Rows, tmp_path: Path, port: int) -> Made:
    policy = NetworkPolicy.parse([f"tcp://echo.internal:{port}"])
    await store.put_container(row(policy))
    return Made(store, AuditLog(tmp_path / "audit.jsonl"), policy)


async def test_connection_is_one_audit_line(made: Made, port: int, audited: Audited) -> None:
    await made.egress()
    with made.networks.calling("cntr_a", RunningCall("resp_1", "call_1")):
        assert await made.ask(port) == b"hello there"
    assert await made.ask(port) == b"hello there"
    made.audit.close()  # so that no line waits for others
    first, second = audited("connection")
    expected = {
        "key": "alice", "container": "cntr_a", "name": "echo.internal", "port": port,
        "address": "127.0.0.1", "decision": "allowed", "rule": f"tcp://echo.internal:{port}",
        "sent": 5, "received": 11,
    }  # fmt: skip
    assert expected.items() <= first.items()
    assert expected.items() <= second.items()
    assert (first["response"], first["call"]) == ("resp_1", "call_1")
    assert not {"response", "call"} & second.keys()
    with (
        made.networks.calling("cntr_a", RunningCall("r", "a")),
        made.networks.calling("cntr_a", RunningCall("r", "b")),
    ):
        await made.ask(port)
    made.audit.close()
    assert "call" not in audited("connection")[2]  # which of both it was is not known
    ((used,), _) = made.networks.used("cntr_a")
    assert (used.name, used.port, used.connections, used.sent, used.received) == (
        "echo.internal",
        port,
        3,
        15,
        33,
    )


@pytest.mark.parametrize("name", ["other.internal", "127.0.0.1", "echo.internal.example", "e\x1bcho"])
async def test_refused_connection_is_told_and_recorded(
    made: Made, port: int, name: str, audited: Audited
) -> None:
    for _ in range(2):
        with pytest.raises(ConnectDenied):
            await made.ask(port, name)
    (line,) = made.networks.take_refusals("cntr_a")
    assert line.startswith("Network: ")
    assert f":{port} was refused: " in line
    assert line.isprintable()
    assert made.networks.take_refusals("cntr_a") == []
    assert [each["decision"] for each in audited("connection")] == ["refused"] * 2
    assert "\x1b" not in json.dumps(audited("connection"))


async def test_few_refused_destinations_are_named(made: Made, port: int) -> None:
    for number in range(MOST_LINES + 3):
        with pytest.raises(ConnectDenied):
            await made.ask(port, f"host{number}.example")
    *named, rest = made.networks.take_refusals("cntr_a")
    assert len(named) == MOST_LINES
    assert named[0] == f"Network: host0.example:{port} was refused: not in the allowlist."
    assert rest == "Network: 3 more connections were refused or failed."


async def test_allowed_host_that_does_not_answer_is_told(store: Rows, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]
    policy = NetworkPolicy.parse([f"tcp://echo.internal:{closed}"])
    await store.put_container(row(policy))
    made = Made(store, AuditLog(tmp_path / "audit.jsonl"), policy)
    with pytest.raises(OSError, match="refused"):
        await made.ask(closed)
    (line,) = made.networks.take_refusals("cntr_a")
    assert line == (
        f"Network: echo.internal:{closed} is allowed and could not be reached: Connection refused."
    )


async def test_change_by_another_process_counts(made: Made, port: int) -> None:
    assert await made.ask(port) == b"hello there"
    await made.allow(NetworkPolicy())
    with pytest.raises(ConnectDenied):
        await made.ask(port)
    await made.allow(made.policy)
    assert await made.ask(port) == b"hello there"
    await made.store.delete_container("cntr_a")
    with pytest.raises(ConnectDenied):
        await Program(made.networks.access(row(made.policy)).egress, "echo.internal", port).ask(b"there")


async def test_policy_just_read_is_not_read_again_unless_it_changes_here(
    made: Made, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress, "FRESH", 60)
    reads = 0
    read = RowPolicy.read

    async def counted(self: RowPolicy) -> NetworkPolicy:
        nonlocal reads
        reads += 1
        return await read(self)

    monkeypatch.setattr(RowPolicy, "read", counted)
    for _ in range(3):
        assert await made.ask(port) == b"hello there"
    made.networks.change("cntr_a", NetworkPolicy())
    with pytest.raises(ConnectDenied):
        await made.ask(port)
    assert reads == 1


@asynccontextmanager
async def connected(made: Made, port: int) -> AsyncIterator[asyncio.StreamReader]:
    program = Program(await made.egress(), "echo.internal", port)
    reader, writer = await program.streams()
    assert await reader.readexactly(6) == b"hello "
    yield reader
    writer.close()
    await asyncio.gather(program.task, return_exceptions=True)


async def test_open_connection_is_in_the_report(made: Made, port: int) -> None:
    await made.egress()
    with made.networks.calling("cntr_a", RunningCall("resp_1", "call_1", "curl x")):
        async with connected(made, port):
            ((used,), left_out) = made.networks.used("cntr_a")
            assert (used.connections, used.open, used.received, used.command) == (0, 1, 6, "curl x")
            assert (left_out, made.networks.take_used("cntr_a", "resp_1")) == (0, ())
        await made.ask(port)
    ((used,), _) = made.networks.used("cntr_a")
    assert (used.connections, used.open, used.command) == (2, 0, "curl x")
    (turn,) = made.networks.take_used("cntr_a", "resp_1")
    assert (turn.connections, turn.name) == (2, "echo.internal")
    assert made.networks.take_used("cntr_a", "resp_1") == ()


async def test_bytes_of_an_open_connection_are_counted_once(made: Made, port: int) -> None:
    assert made.networks.sent("cntr_a") == 0
    await made.ask(port)  # sends "there"
    program = Program(await made.egress(), "echo.internal", port)
    reader, writer = await program.streams()
    writer.write(b"abc")
    assert await reader.readexactly(9) == b"hello abc"
    assert made.networks.sent("cntr_a") == 8
    writer.close()
    await asyncio.gather(program.task, return_exceptions=True)
    assert made.networks.sent("cntr_a") == 8


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        (NetworkLimits(concurrent=1), "1 connections are open already"),
        (NetworkLimits(per_minute=1), "more than 1 connections in a minute"),
        (NetworkLimits(bytes_out=4), "this container has sent its limit of 4 bytes"),
        (NetworkLimits(bytes_in=6), "this container has received its limit of 6 bytes"),
    ],
)
async def test_limit_is_named_after_the_command(
    made: Made, port: int, limits: NetworkLimits, line: str, audited: Audited
) -> None:
    made.networks = made.another(limits=limits)
    async with connected(made, port):
        with suppress(ConnectDenied):  # the limits of bytes end it later
            await made.ask(port)
    told = made.networks.take_refusals("cntr_a")
    assert told == [f"Network: echo.internal:{port} was refused: {line}."]
    assert any(each.get("reason") == line for each in audited("connection"))


async def test_change_closes_open_connections(made: Made, port: int) -> None:
    async with connected(made, port) as reader:
        made.networks.change("cntr_a", made.policy)
        assert not reader.at_eof()
        made.networks.change("cntr_a", NetworkPolicy())
        assert await reader.read() == b""


async def test_change_by_another_process_closes_connections(
    made: Made, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress, "RECHECK", 0.01)
    async with connected(made, port) as reader:
        await made.allow(NetworkPolicy())
        assert await asyncio.wait_for(reader.read(), 10) == b""
    (line,) = made.networks.take_refusals("cntr_a")
    assert "no longer in the allowlist" in line
    await made.allow(made.policy)
    async with connected(made, port) as reader:
        await made.store.put_network("cntr_a", "[")  # damaged
        assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_narrower_operator_refuses_what_was_allowed(made: Made, port: int) -> None:
    made.policy = NetworkPolicy.parse(["tcp://other.internal:5432"])
    made.networks = made.another()
    with pytest.raises(ConnectDenied, match="not in the allowlist"):
        await made.ask(port)


@pytest.mark.parametrize("network", ["{}", "[", '{"ports": [80]}'])
async def test_container_without_network_reaches_nothing(made: Made, network: str) -> None:
    await made.store.put_network("cntr_a", network)
    found = await made.store.container("cntr_a")
    assert found is not None
    access = made.networks.access(found)
    assert access.network is None
    assert isinstance(access.egress, DenyAll)
