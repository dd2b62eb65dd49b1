"""A sandbox with a network: real programs inside reach real servers by name, as the host decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from agent_kernel.errors import ChannelBroken, SandboxFileError
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.network import PROXY_PORT, Network
from agent_kernel.sandboxes.optional import snapshots_of
from tests.sandboxes.inside import Sandbox, checkpoint, started
from tests.sandboxes.network.networked import DIRECT, NETWORK, PORT, Dialer, Networked, networked, served
from tests.sandboxes.shared import SHARED, SharedSandbox, shared_run

pytestmark = SHARED

FETCH = """
import sys, urllib.error, urllib.request
try:
    print(len(urllib.request.urlopen(sys.argv[1], timeout=20).read()))
except urllib.error.HTTPError as error:
    print(error, error.read().decode())
except Exception as error:
    print(error)
"""

SOCKS = f"""
import socket, sys
def ask(name):
    with socket.create_connection(("127.0.0.1", {PROXY_PORT})) as s:
        s.sendall(b"\\x05\\x01\\x00")
        assert s.recv(2) == b"\\x05\\x00"
        s.sendall(b"\\x05\\x01\\x00" + name + (7777).to_bytes(2, "big"))
        answer = s.recv(10)
        if answer[1] == 0:
            s.sendall(b"typed")
            print(s.recv(9).decode())
        else:
            print(answer[1])
ask(b"\\x03\\x07db.test")
ask(b"\\x01" + socket.inet_aton(socket.gethostbyname("db.test")))
ask(b"\\x03\\x0aother.test")
"""

TALK = f"""
import socket
with socket.create_connection(("db.test", {PORT})) as s:
    s.sendall(b"typed")
    s.shutdown(socket.SHUT_WR)
    print(b"".join(iter(lambda: s.recv(99), b"")).decode())
"""

KEPT = f"""
import socket, time
with socket.create_connection(("127.0.0.1", {PROXY_PORT})) as s:
    s.sendall(b"GET http://index.test/ HTTP/1.1\\r\\nHost: index.test\\r\\n\\r\\n")
    got = b""
    while not got.endswith(b"here\\n"):
        got += s.recv(99)
    time.sleep(1000)
"""

BIND = """
import socket
def take(address, port, reuse=False):
    s = socket.socket()
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT) if reuse else ():
        s.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        s.bind((address, port))
        s.listen()
        print("taken", address, port)
    except OSError as error:
        print("busy")
for reuse in (False, True):
    take("0.0.0.0", 443, reuse)
    take("127.64.0.1", 443, reuse)
    take("127.0.0.1", 53, reuse)
    take("127.0.0.1", 3128, reuse)
"""


run = shared_run


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def with_network(shared_sandbox: SharedSandbox) -> AsyncIterator[SharedSandbox]:
    """Yield a second sandbox for this module, which has a network."""
    sandbox = SharedSandbox(shared_sandbox.backend, network=NETWORK)
    yield sandbox
    await sandbox.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def net(with_network: SharedSandbox) -> AsyncIterator[Networked]:
    async with served(await with_network.ready()) as made:
        yield made


async def fetch(net: Networked, address: str, before: str = "") -> str:
    return (await net.out(f"cat >f.py <<'END'\n{FETCH}\nEND\n{before} python3 f.py {address}")).strip()


async def test_allowed_names_are_reached(net: Networked) -> None:
    assert await fetch(net, "http://index.test/a?b=c") == "5"
    assert await fetch(net, "http://index.test:8080/large") == str(3 << 20)
    assert await fetch(net, "http://index.test/large", DIRECT) == str(3 << 20)
    assert (await net.python(TALK)).strip() == "typed"
    assert (await net.python(SOCKS)).split() == ["typed", "typed", "2"]
    assert net.dialer.asked == [
        ("index.test", 80), ("index.test", 8080), ("index.test", 80), ("db.test", PORT),
        ("db.test", 7777), ("db.test", 7777), ("other.test", 7777),
    ]  # fmt: skip
    first = net.server.heads[0].splitlines()
    assert first[:2] == [b"GET /a?b=c HTTP/1.1", b"Host: index.test"]
    assert first[-1] == b"Connection: close"


@pytest.mark.slow_on_gvisor
async def test_refused_names_fail_with_the_reason(net: Networked) -> None:
    reason = "other.test:80 was refused: not in the allowlist."
    for before in ("", DIRECT):  # the reason is also in the first line, which clients print
        assert await fetch(net, "http://other.test/", before) == f"HTTP Error 403: {reason} {reason}"
    assert "Tunnel connection failed: 403 other.test:443 was" in await fetch(net, "https://other.test/")
    assert "reset by peer" in await fetch(net, "https://other.test/", DIRECT)
    assert "Connection re" in await net.python(TALK.replace("db.test", "127.9.9.9"))  # reset or refused
    assert "127.9.9.9" not in [name for name, _ in net.dialer.asked]


async def test_names_resolve_inside_only(net: Networked) -> None:
    ask = "import socket; print(*sorted({a[4][0] for a in socket.getaddrinfo(%r, None)}))"
    first = (await net.python(ask % "A.Some-Name.example")).strip()
    assert first.startswith("127.64.")
    assert (await net.python(ask % "a.some-name.example.")).strip() == first
    assert (await net.python(ask % "another.example")).strip() != first
    assert (await net.python(f"import socket; print(socket.gethostbyaddr({first!r})[0])")).split() == [
        "a.some-name.example"
    ]
    assert net.dialer.asked == []


async def test_ports_cannot_be_taken_by_a_command(net: Networked) -> None:
    assert (await net.python(BIND)).split() == ["busy"] * 8
    serve = "python3 -m http.server 9001 >/dev/null 2>&1"
    await net.run(f"{serve} & while ! grep -q :2329 /proc/net/tcp; do :; done")
    with pytest.raises(SandboxFileError, match="9001 cannot be taken"):
        await net.run.channel.listen([9000, 9001])
    await net.run.channel.listen([9000, 443])
    assert (await net.python(TALK.replace(str(PORT), "9000"))).strip() == "typed"
    await net.python(TALK.replace(str(PORT), "9001"))
    assert net.dialer.asked == [("db.test", 9000)]


async def test_no_network_means_no_listener(run: Sandbox) -> None:
    assert (await run("tail -qn +2 /proc/net/tcp /proc/net/udp; env | grep -i _proxy")).stdout == b""
    assert (await run("getent hosts index.test")).code == 2
    with pytest.raises(ChannelBroken, match="listen"):
        await run.channel.listen([443])


async def test_killed_command_closes_its_connections(net: Networked) -> None:
    hang = TALK.replace("typed", "hang").replace("s.shutdown(socket.SHUT_WR)", "")
    both = f"cat >h.py <<'END'\n{hang}\nEND\npython3 h.py & python3 h.py"
    held = asyncio.create_task(net.run(both, timeout=30))
    await net.dialer.some_open(2)
    held.cancel()
    async with asyncio.timeout(4):  # less than a program that ends by itself may take to deliver
        await net.dialer.none_open()
    assert await fetch(net, "http://index.test/") == "5"


async def test_connection_ends_with_the_server_of_its_request(net: Networked) -> None:
    held = asyncio.create_task(net.python(KEPT))
    await net.dialer.some_open()
    async with asyncio.timeout(30):  # the command has more, and its program holds its end all the time
        await net.dialer.none_open()
    assert not held.done()
    held.cancel()
    await asyncio.gather(held, return_exceptions=True)
    assert await net.python(KEPT.partition("    time")[0]) == ""
    await net.dialer.none_open()


async def test_program_that_leaves_delivers_what_it_sent(net: Networked) -> None:
    talk = TALK.replace('b"typed"', 'b"hang" + b"y" * 300_000').split("    s.shutdown")[0]
    await net.python(talk)
    async with asyncio.timeout(60):
        await net.server.quiet.wait()
        await net.dialer.none_open()
    assert net.server.hung == 300_000 + 4


@pytest.mark.shown_on("bubblewrap")  # the same boxd counts them
async def test_endless_connections_are_bounded(shared_sandbox: SharedSandbox) -> None:
    many = f"""
import socket
held, reset = [], 0
for _ in range({wire.MAX_OPENED + 40}):
    try:
        s = socket.create_connection(("db.test", {PORT}))
        s.sendall(b"x")
        assert s.recv(1) == b"x"
        held.append(s)
    except OSError:
        reset += 1
print(len(held), reset)
"""
    async with networked(shared_sandbox.backend) as net:  # none of an earlier test is being closed here
        assert (await net.python(many)).split() == [str(wire.MAX_OPENED), "40"]
        await net.dialer.none_open()
        assert await fetch(net, "http://index.test/") == "5"


@pytest.mark.slow_on_gvisor
async def test_next_host_decides(net: Networked) -> None:
    await net.run.channel.aclose()
    net.run.channel = await Channel.open(await net.run.backend.stream(net.run.ref), None)
    assert "no host connects" in await fetch(net, "http://index.test/")
    newer = Dialer(net.dialer._port)
    other = await Channel.open(await net.run.backend.stream(net.run.ref), newer)
    try:
        assert await fetch(net, "http://index.test/") == "5"
        assert newer.asked == [("index.test", 80)]
    finally:
        await other.aclose()


@pytest.mark.slow_on_gvisor
async def test_restored_sandbox_has_its_network(net: Networked) -> None:
    kept = await checkpoint(net.run)
    try:
        async with started(net.run.backend, network=Network((80,)), snapshot=kept.id) as run:
            run.channel.decide_by(net.dialer)
            net.run.channel, old = run.channel, net.run.channel
            assert await fetch(net, "http://index.test/", DIRECT) == "5"
            net.run.channel = old
    finally:
        await snapshots_of(net.run.backend).remove_snapshot(kept.id)
