"""A start and an end cost few requests to the engine: each is a round trip before the first command."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.channel import Channel, Exited
from agent_kernel.sandboxes.docker.backend import DockerBackend

pytestmark = pytest.mark.docker

ENGINE = "/var/run/docker.sock"
REQUEST = re.compile(rb"(GET|POST|DELETE|HEAD) /v[\d.]+/(\S+?)[? ]\S* ?HTTP/1")


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[tuple[Path, list[str]]]:
    """A socket that passes everything on to the engine, and the requests that it has seen."""
    seen: list[str] = []

    async def passed_on(connection: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine, to_engine = await asyncio.open_unix_connection(ENGINE)
        async with asyncio.TaskGroup() as both:
            both.create_task(_copy(connection, to_engine, seen))
            both.create_task(_copy(engine, writer, []))

    socket = folder / "engine.sock"
    async with await asyncio.start_unix_server(passed_on, socket):
        yield socket, seen


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: list[str]) -> None:
    with suppress(ConnectionError):  # the other side has closed
        while piece := await reader.read(1 << 16):
            seen += [f"{method.decode()} {path.decode()}" for method, path in REQUEST.findall(piece)]
            writer.write(piece)
            await writer.drain()
    writer.close()


async def test_a_start_needs_five_requests_and_an_end_three(
    docker_backend: DockerBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"requests-{secrets.token_hex(6)}"
    async with watched(tmp_path) as (socket, seen):
        monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
        backend = DockerBackend(docker_backend.image)
        await backend.probe()
        seen.clear()
        ref = await backend.create(SandboxSpec(name))
        channel = await Channel.open(await backend.stream(ref))
        assert [event async for event in channel.run("true")] == [Exited(0)]
        container = f"containers/agent-kernel-{name}"
        assert sorted(seen) == [
            f"GET {container}/json",
            "GET events",
            f"POST {container}/attach",
            f"POST {container}/start",
            "POST containers/create",
        ]
        seen.clear()
        await channel.aclose()
        await backend.delete(ref)
        assert [request.partition(" ")[0] for request in seen] == ["GET", "DELETE", "GET"]
        await backend.aclose()
