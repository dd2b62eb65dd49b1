"""A container's network on each backend: it works, and is the same after a fork, an expiry and a new host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.network.egress import NetworkOptions
from agent_kernel.runtime.network.inside import OWN
from agent_kernel.store.rows import Rows
from tests.egress.tls.outside import NAME, VALUE, HttpsServer
from tests.runtime.containers.lifecycle import expire, run

Make = Callable[..., LocalContainers]


async def loopback(name: str) -> list[Address]:
    return [ip_address("127.0.0.1")]


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """The port of a server on loopback that says hello."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def dial(name: str, port: int) -> str:
    """A command that connects like a program without proxy settings, and prints what comes."""
    code = (
        f"import socket; s = socket.create_connection(('{name}', {port}), 20); "
        "print(s.makefile().read() or 'closed')"
    )
    return f'python3 -c "{code}" 2>&1 | tail -1'


async def test_network_is_kept_by_fork_and_expiry(make: Make, store: Rows, port: int) -> None:
    bound = NetworkPolicy.parse([f"tcp://a.internal:{port}", f"tcp://b.internal:{port}"])
    settings: dict[str, Any] = {"network": bound, "network_options": NetworkOptions(resolver=loopback)}
    containers = make(**settings)
    asked = {"type": "allowlist", "allowed_domains": [f"a.internal:{port}"]}
    made = await containers.create({"network_policy": asked})
    assert await run(containers, made.id, dial("a.internal", port)) == "hello\n"
    assert "hello" not in await run(containers, made.id, dial("b.internal", port))
    refused = containers.take_refusals(made.id)
    assert refused == [f"Network: b.internal:{port} was refused: not in the allowlist."]
    copy = await containers.fork(made.id)
    assert copy.network_policy == made.network_policy
    assert await run(containers, copy.id, dial("a.internal", port)) == "hello\n"
    await expire(store, containers, made.id)
    assert await run(containers, made.id, dial("a.internal", port)) == "hello\n"
    assert "hello" not in await run(containers, made.id, dial("b.internal", port))
    narrower = make(**{**settings, "network": NetworkPolicy.parse([f"tcp://b.internal:{port}"])})
    assert "hello" not in await run(narrower, made.id, dial("a.internal", port))  # the newest host decides


async def test_allowed_port_is_opened_in_a_running_container(make: Make, port: int) -> None:
    options = NetworkOptions(resolver=loopback)
    made = await make(network=NetworkPolicy.parse(["tcp://a.internal:9000"]), network_options=options).create(
        {}
    )
    wider = NetworkPolicy.parse(
        ["tcp://a.internal:9000", f"tcp://a.internal:{port}", "tcp://a.internal:9001"]
    )
    containers = make(network=wider, network_options=options)
    assert "hello" not in await run(containers, made.id, dial("a.internal", port))
    allowed = {"type": "allowlist", "allowed_domains": [f"a.internal:{port}"]}
    await containers.set_network(made.id, allowed)
    assert await run(containers, made.id, dial("a.internal", port)) == "hello\n"
    serve = "python3 -m http.server 9001 >/dev/null 2>&1 & while ! grep -q :2329 /proc/net/tcp; do :; done"
    await run(containers, made.id, serve)
    with pytest.raises(InvalidRequest, match="port 9001 cannot be taken"):
        await containers.set_network(made.id, wider.to_json())
    assert (await containers.network(made.id)).policy["allowed_domains"] == [f"tcp://a.internal:{port}"]


async def test_warm_container_takes_the_default_network(make: Make, store: Rows, port: int) -> None:
    bound = NetworkPolicy.parse([f"tcp://a.internal:{port}"])
    containers = make(network=bound, network_options=NetworkOptions(resolver=loopback), warm=1)
    await containers.warm_up()
    pool = containers._lifecycle._pool
    assert pool is not None
    await pool.filled()
    assert pool.ready == 1
    made = await containers.create({})
    assert pool.ready == 0
    assert "hello" not in await run(containers, made.id, dial("a.internal", port))
    await containers.set_network(made.id, bound.to_json())
    assert await run(containers, made.id, dial("a.internal", port)) == "hello\n"


READ = f'curl -sS -H "X-Token: $TOKEN" https://{NAME}/'
WRITE = f"curl -sS -d written https://{NAME}/"
AUTHORITY = f"grep -c 'agent-kernel sandbox: begin' $SSL_CERT_FILE; cat {OWN}"
RULE = f"GET {NAME}"
POLICY = {
    "type": "allowlist",
    "allowed_domains": [RULE],
    "domain_secrets": [{"domain": NAME, "name": "TOKEN", "value": VALUE}],
}


async def public(name: str) -> list[Address]:
    return [ip_address("9.9.9.9")]


@pytest.fixture
async def https(tmp_path: Path) -> AsyncIterator[HttpsServer]:
    server = HttpsServer(tmp_path, ("http/1.1",))
    await server.start()
    async with server.server:
        yield server


async def test_secret_and_read_only_host_are_kept_with_a_new_authority(
    make: Make, store: Rows, https: HttpsServer
) -> None:
    options = NetworkOptions(resolver=public, dialler=https.dial, trust=https.trust)
    settings: dict[str, Any] = {"network": NetworkPolicy.parse([RULE]), "network_options": options}
    containers, authorities = make(**settings), set[str]()

    async def check(containers: LocalContainers, container: str) -> None:
        before = len(https.got)
        assert await run(containers, container, READ) == "here\n"
        assert "allows only GET, HEAD and OPTIONS, not POST" in await run(containers, container, WRITE)
        assert [got.headers[b"x-token"] for got in https.got[before:]] == [VALUE.encode()]
        blocks, _, authority = (await run(containers, container, AUTHORITY)).partition("\n")
        assert blocks == "1"
        assert authority not in authorities
        authorities.add(authority)

    made = await containers.create({"network_policy": POLICY})
    await check(containers, made.id)
    await check(containers, (await containers.fork(made.id)).id)
    await expire(store, containers, made.id)
    await check(containers, made.id)
    checkpoint = await containers.checkpoint(made.id)
    await check(containers, (await containers.begin_from(checkpoint)).id)
    another = make(**settings)  # as after a restart: it does not know the value
    assert "here" not in await run(another, made.id, READ)
    (refused,) = another.take_refusals(made.id)
    assert "the value of its secret TOKEN is not known to this server any more" in refused
    await another.set_network(made.id, POLICY)
    await check(another, made.id)
