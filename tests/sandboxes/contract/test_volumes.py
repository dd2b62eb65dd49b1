"""Named volumes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent_kernel.errors import (
    SandboxError,
)
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.optional import snapshots_of, volumes_of
from tests.conftest import Missing
from tests.sandboxes.inside import checkpoint, new_id, started


@pytest.fixture
async def volume(backend: Backend, missing: Missing) -> AsyncIterator[str]:
    """The name of a volume that the test may make."""
    if not backend.capabilities().volumes:
        missing(f"{backend.name} has no named volumes.")
    name = new_id()
    yield name
    await volumes_of(backend).remove_volume(name)
    assert name not in [volume.name for volume in await volumes_of(backend).volumes()]


@pytest.mark.slow_on_gvisor
async def test_a_named_volume_outlives_its_sandboxes(backend: Backend, volume: str) -> None:
    async with started(backend, volume=volume) as run:
        await run("echo kept >file; echo lost >/tmp/file")
        assert volume in [found.name for found in await volumes_of(backend).volumes()]
        with pytest.raises(SandboxError, match="in use"):
            await volumes_of(backend).remove_volume(volume)
    async with started(backend, volume=volume) as run:
        assert (await run("cat file; ls /tmp")).stdout == b"kept\n"
    await volumes_of(backend).remove_volume(volume)
    await volumes_of(backend).remove_volume(volume)
    async with started(backend, volume=volume) as run:
        assert (await run("ls -A")).stdout == b""


@pytest.mark.slow_on_gvisor
async def test_a_checkpoint_keeps_the_files_of_a_volume(backend: Backend, volume: str) -> None:
    async with started(backend, volume=volume) as run:
        await run("mkdir -p 'a b'; echo one >'a b/file'; ln -s nowhere link; cd 'a b'")
        snapshot = await checkpoint(run)
        await run("echo changed >file")
    seen = 'cat "/mnt/data/a b/file"; readlink /mnt/data/link; pwd'
    try:
        async with started(backend, snapshot=snapshot.id) as fork:
            assert (await fork(seen)).stdout == b"one\nnowhere\n/mnt/data/a b\n"
        async with started(backend, snapshot=snapshot.id, volume=volume) as again:  # it has files of its own
            assert (await again(seen)).stdout == b"changed\nnowhere\n/mnt/data/a b\n"
        await volumes_of(backend).remove_volume(volume)
        async with started(backend, snapshot=snapshot.id, volume=volume) as again:
            assert (await again(seen)).stdout == b"one\nnowhere\n/mnt/data/a b\n"
    finally:
        await snapshots_of(backend).remove_snapshot(snapshot.id)
