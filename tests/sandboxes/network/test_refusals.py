"""Every way around the policy that docs/network.md lists, tried from inside: refused, and for that reason."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import pytest
import pytest_asyncio

from agent_kernel.egress import addresses, resolve
from agent_kernel.egress.broker import Broker, ConnectionRecord
from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkPolicy
from tests.docs.tables import rows, section
from tests.egress.test_hello import built, openssl_hello, records_of, server_name
from tests.sandboxes.inside import Sandbox, chunks
from tests.sandboxes.network.attempts.program import ATTEMPTS
from tests.sandboxes.network.networked import NETWORK
from tests.sandboxes.shared import SHARED, SharedSandbox

pytestmark = pytest.mark.timeout(300)  # all attempts are made before the first test

PROGRAM = sorted(Path(__file__).with_name("attempts").glob("*.py"))
ROWS = dict(rows(section("network.md", "What is refused"), "a program tries", "result"))
ENDED = ".ended.test"
OWN = ip_address("9.9.9.9")
PUBLIC = ip_address("8.8.8.8")
LEADS_TO = {
    "loopback.test": "127.0.0.1",
    "private.test": "10.0.0.1",
    "metadata.test": "169.254.169.254",
    "mapped.test": "::ffff:8.8.8.8",
    "own.test": str(OWN),
}
POLICY = NetworkPolicy.parse(
    ["index.test", "*.wild.test:443", "tcp://db.internal:5432", "rebind.test:5000", *LEADS_TO]
)
HELLOS = {
    "other.test": openssl_hello("other.test"),
    "none": openssl_hello(None),
    "hidden": records_of(built(server_name(b"index.test"), b"\xfe\x0d" + b"\0\x01x")),
}
REDIRECTS = {b"/to-other": b"http://other.test/", b"/to-metadata": b"http://169.254.169.254/latest"}
BACKGROUND = """
import socket, threading
listening, abstract = socket.create_server(("0.0.0.0", 0)), socket.socket(socket.AF_UNIX)
abstract.bind("\\0agent-kernel-neighbour")
abstract.listen()
print(listening.getsockname()[1], flush=True)
threading.Event().wait(300)
"""


@dataclass
class Outside:
    """A server of this machine, and a broker for which every public address is that server."""

    port: int = 0
    received: bytearray = field(default_factory=bytearray)
    asked: list[str] = field(default_factory=list)
    dialled: list[str] = field(default_factory=list)
    refusals: list[list[ConnectionRecord]] = field(default_factory=lambda: [[]])
    """The refused connections of each attempt, in the order of the attempts."""
    handlers: set[asyncio.Task[None]] = field(default_factory=set)

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handlers.add(asyncio.create_task(self._answer(reader, writer)))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            first = await reader.read(1 << 16)
            self.received += first
            path = b"".join(first.split(b" ")[1:2])
            place = REDIRECTS.get(path)
            head = b"302 Found\r\nLocation: " + place if place else b"200 OK"
            writer.write(b"HTTP/1.1 " + head + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    async def resolve(self, name: str) -> Sequence[Address]:
        self.asked.append(name)
        if name == "rebind.test" and self.asked.count(name) > 1:
            return [ip_address("127.0.0.1")]
        return [ip_address(LEADS_TO.get(name, str(PUBLIC)))]

    async def dial(self, address: Address, port: int) -> socket.socket:
        self.dialled.append(str(address))
        return await resolve.dial(ip_address("127.0.0.1"), self.port)

    def record(self, record: ConnectionRecord) -> None:
        if record.name.endswith(ENDED):
            self.refusals.append([])
        elif record.decision == "refused":
            self.refusals[-1].append(record)


Tried = tuple[dict[str, str], Outside]
"""What became of each attempt, by its name in the page: the program's text and the broker's reasons."""


@contextlib.asynccontextmanager
async def neighbour(sandbox: Sandbox) -> AsyncIterator[int]:
    """Let another sandbox listen, and yield its port."""
    command = f"python3 -c {shlex.quote(BACKGROUND)}"
    async with contextlib.aclosing(sandbox.channel.run(command, timeout=300)) as events:
        async for event in events:
            yield int(getattr(event, "data", b""))
            break


async def try_all(run: Sandbox, other: Sandbox, outside: Outside) -> dict[str, str]:
    for file in PROGRAM:
        await run.channel.put(f"/mnt/data/attempts/{file.name}", chunks(file.read_bytes()))
    async with neighbour(other) as port:
        facts = {
            "hellos": {kind: sent.hex() for kind, sent in HELLOS.items()},
            "host_port": outside.port,
            "neighbour": other.ref.id,
            "neighbour_port": port,
        }
        done = await run(f"python3 -m attempts.program {shlex.quote(json.dumps(facts))}", timeout=240)
    assert done.code == 0, done
    return dict(json.loads(done.stdout))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tried(shared_sandbox: SharedSandbox) -> AsyncIterator[Tried]:
    """Make every attempt in a sandbox with a network, beside another sandbox."""
    outside = Outside()
    listening = await asyncio.start_server(outside.serve, "127.0.0.1", 0)
    outside.port = listening.sockets[0].getsockname()[1]
    broker = Broker(POLICY, record=outside.record, resolver=outside.resolve, dialler=outside.dial)
    sandbox = SharedSandbox(shared_sandbox.backend, network=NETWORK)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(addresses, "is_own", lambda address: address == OWN)
        try:
            async with listening, asyncio.timeout(280):
                run = await sandbox.ready()
                run.channel.decide_by(broker)
                outcomes = await try_all(run, await shared_sandbox.ready(), outside)
                await asyncio.gather(*outside.handlers)
        finally:
            await sandbox.aclose()
    reasons = [" ".join(record.reason for record in records) for records in outside.refusals]
    yield (
        {name: f"{text}; {why}" for (name, text), why in zip(outcomes.items(), reasons, strict=False)},
        outside,
    )


def test_page_lists_every_attempt() -> None:
    assert list(ROWS) == list(ATTEMPTS)


@SHARED
@pytest.mark.parametrize("name", ATTEMPTS)
@pytest.mark.slow_on_gvisor
async def test_attempt_is_refused_as_the_page_says(tried: Tried, name: str) -> None:
    outcome = tried[0][name]
    for words in ROWS[name].split("; "):
        assert words in outcome
    reached = {"connected", "sent", "made", "taken", "no answer"}
    assert not reached & set(outcome.split("; "))
    assert (" 200 " in outcome) == (name == "a DNS answer that changes after the first connection")


@SHARED
async def test_attempts_reach_nothing_outside(tried: Tried) -> None:
    outside = tried[1]
    assert set(outside.asked) == {"index.test", "rebind.test", *LEADS_TO}, "only allowed names are resolved"
    assert set(outside.dialled) == {str(PUBLIC)}
    assert len(outside.handlers) == len(outside.dialled)
    assert b"other.test" not in outside.received
    assert outside.received.count(b"index.test") == 2, "of all requests, those that are redirected arrive"
