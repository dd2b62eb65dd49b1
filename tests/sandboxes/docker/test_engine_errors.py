"""What the engine refuses, or removes while it is listed, is never reported as an engine that is away."""

from __future__ import annotations

import asyncio
import contextlib
import io
import tarfile
import uuid
from collections.abc import Awaitable, Callable

import docker
import pytest

from agent_kernel.errors import EngineUnavailable, SandboxError
from agent_kernel.sandboxes.docker import snapshots as docker_snapshots
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.docker.engine import Engine
from agent_kernel.sandboxes.optional import Snapshot

pytestmark = pytest.mark.docker

COUNT = 12


def empty_checkpoints(api: docker.APIClient, purpose: str) -> list[str]:
    """Make checkpoints of nothing: tiny images with a checkpoint's labels."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    ids = [f"race-{uuid.uuid4().hex[:12]}" for _ in range(COUNT)]
    for id in ids:  # noqa: A001 (the field's own word)
        labels = f'LABEL agent_kernel.snapshot={id} agent_kernel.labels="{{\\"purpose\\":\\"{purpose}\\"}}"'
        changes = [labels, "LABEL agent_kernel.base=0"]
        api.import_image_from_data(buffer.getvalue(), docker_snapshots.REPOSITORY, id, changes=changes)
    return ids


async def listed_while_pruned(*backends: DockerBackend, ids: list[str], purpose: str) -> list[Snapshot]:
    """List on each backend until all checkpoints are gone, while all of them remove the same ones."""
    seen: list[Snapshot] = []

    async def prune(backend: DockerBackend) -> None:
        for id in ids:  # noqa: A001
            await backend.remove_snapshot(id)

    async def read(backend: DockerBackend) -> None:
        while found := await backend.snapshots({"purpose": purpose}):
            seen.extend(found)

    await asyncio.gather(*(work(backend) for work in (prune, read) for backend in backends))
    return seen


@pytest.mark.parametrize("pruning", [1, 2, 3])
async def test_checkpoints_are_listed_while_others_prune(
    docker_backend: DockerBackend, engine: docker.DockerClient, pruning: int
) -> None:
    purpose = uuid.uuid4().hex
    ids = await asyncio.to_thread(empty_checkpoints, engine.api, purpose)
    backends = [docker_backend, *(DockerBackend(docker_backend.image) for _ in range(pruning - 1))]
    try:
        seen = await listed_while_pruned(*backends, ids=ids, purpose=purpose)
        assert {snapshot.id for snapshot in seen} <= set(ids)
        assert await docker_backend.snapshots({"purpose": purpose}) == []
    finally:
        for id in ids:  # noqa: A001
            await docker_backend.remove_snapshot(id)
        for backend in backends[1:]:
            await backend.aclose()
        engine.close()


REFUSED: dict[str, Callable[[docker.APIClient], object]] = {
    "image": lambda api: api.inspect_image("agent-kernel/none:1"),  # type: ignore[no-untyped-call]
    "container": lambda api: api.inspect_container("agent-kernel-none"),
    "volume": lambda api: api.inspect_volume("agent-kernel-none"),
    "exec": lambda api: api.exec_inspect("none"),
    "image of a container": lambda api: api.create_container("agent-kernel/none:1"),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=list(REFUSED))
async def test_refused_request_is_not_an_engine_that_is_away(
    docker_engine: None, call: Callable[[docker.APIClient], object]
) -> None:
    engine = Engine()
    try:
        asked: Awaitable[object] = engine.ask(call, await engine.api())
        with pytest.raises(SandboxError, match=r"refused a request: .*HTTP 4\d\d") as caught:
            await asked
        assert not isinstance(caught.value, EngineUnavailable)
    finally:
        await engine.aclose()


async def test_engine_describes_each_checkpoint_once(
    docker_backend: DockerBackend, engine: docker.DockerClient
) -> None:
    purpose = uuid.uuid4().hex
    ids = await asyncio.to_thread(empty_checkpoints, engine.api, purpose)
    listing, asked = docker_snapshots.SnapshotList(), 0

    def count(*_: object, **__: object) -> None:
        nonlocal asked
        asked += 1

    with contextlib.closing(docker.APIClient(version="auto")) as api:
        api.hooks["response"].append(count)
        assert len(await asyncio.to_thread(listing.read, api, {"purpose": purpose})) == COUNT
        assert asked <= 1 + 2 * COUNT, "those of others are not described"
        asked = 0
        await docker_backend.remove_snapshot(ids[0])
        found = await asyncio.to_thread(listing.read, api, {"purpose": purpose})
        assert {each.id for each in found} == {*ids[1:]}
        assert asked == 1
    for id in ids[1:]:  # noqa: A001
        await docker_backend.remove_snapshot(id)
