"""The stream that comes with the start: handed out once, does not hold up the lease, ends with its host."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator

import docker
import pytest

from agent_kernel.errors import SandboxGone
from agent_kernel.sandboxes.base import SandboxRef, SandboxSpec
from agent_kernel.sandboxes.channel import Channel, Exited, Output
from agent_kernel.sandboxes.docker.backend import DockerBackend

pytestmark = pytest.mark.docker


@pytest.fixture
async def sandbox(docker_backend: DockerBackend) -> AsyncIterator[SandboxRef]:
    ref = await docker_backend.create(SandboxSpec(f"first-{secrets.token_hex(6)}", lease=1.0))
    yield ref
    await docker_backend.delete(ref)


async def attached(ref: SandboxRef) -> int:
    """How many programs the engine runs in a container beside its process 1."""
    client = docker.from_env()
    try:
        found = await asyncio.to_thread(client.api.inspect_container, f"agent-kernel-{ref.id}")
    finally:
        client.close()
    return len(found["ExecIDs"] or [])


async def printed(channel: Channel, command: str) -> bytes:
    return b"".join([event.data async for event in channel.run(command) if isinstance(event, Output)])


async def test_the_first_stream_starts_no_program(docker_backend: DockerBackend, sandbox: SandboxRef) -> None:
    first = await Channel.open(await docker_backend.stream(sandbox))
    assert await attached(sandbox) == 0
    second = await Channel.open(await docker_backend.stream(sandbox))
    assert await attached(sandbox) == (0 if os.geteuid() == 0 else 1)  # root reaches boxd without the engine
    assert [await printed(each, "echo here") for each in (first, second)] == [b"here\n", b"here\n"]
    await first.aclose()
    await second.aclose()


async def test_all_bytes_pass_it(docker_backend: DockerBackend, sandbox: SandboxRef) -> None:
    channel = await Channel.open(await docker_backend.stream(sandbox))
    every = bytes(range(256)) * 4096

    async def content() -> AsyncIterator[bytes]:
        yield every

    await channel.put("/mnt/data/every", content())
    assert await printed(channel, "cat every") == every
    await channel.aclose()


async def test_the_lease_runs_while_nobody_takes_it(
    docker_backend: DockerBackend, sandbox: SandboxRef
) -> None:
    client = docker.from_env()
    try:
        container = await asyncio.to_thread(client.containers.get, f"agent-kernel-{sandbox.id}")
        await asyncio.to_thread(container.wait, timeout=20)
    finally:
        client.close()
    with pytest.raises(SandboxGone):
        await Channel.open(await docker_backend.stream(sandbox))


async def test_the_lease_runs_once_it_is_closed(docker_backend: DockerBackend, sandbox: SandboxRef) -> None:
    channel = await Channel.open(await docker_backend.stream(sandbox))
    await asyncio.sleep(1.5)  # longer than the lease: a host is there
    assert [event async for event in channel.run("true")] == [Exited(0)]
    client = docker.from_env()
    try:
        container = await asyncio.to_thread(client.containers.get, f"agent-kernel-{sandbox.id}")
        await channel.aclose()
        await asyncio.to_thread(container.wait, timeout=20)
    finally:
        client.close()


async def test_nothing_written_to_the_standard_streams_reaches_the_host(
    docker_backend: DockerBackend, sandbox: SandboxRef
) -> None:
    channel = await Channel.open(await docker_backend.stream(sandbox))
    # They are boxd's, and a command may neither see nor use what boxd has open.
    assert await printed(channel, "readlink /proc/1/fd/*; (echo x >/proc/1/fd/1) 2>&1") == (
        b"/run/boxd/command: line 1: /proc/1/fd/1: Permission denied\n"
    )
    await channel.aclose()
