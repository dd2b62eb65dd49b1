"""A sandbox's life, from its creation to its end."""

from __future__ import annotations

import asyncio

import pytest

from agent_kernel.errors import (
    SandboxGone,
)
from agent_kernel.sandboxes.base import MANAGED_LABEL, Backend
from tests.sandboxes.inside import short_lease, started


@pytest.mark.slow_on_gvisor
async def test_it_is_found_again_by_id_and_label(backend: Backend) -> None:
    async with started(backend, labels={"owner": "contract"}) as run:
        ref = await backend.get(run.ref.id)
        assert (ref.id, ref.backend, ref.status) == (run.ref.id, backend.name, "running")
        assert {"owner": "contract", MANAGED_LABEL: "1"}.items() <= dict(ref.labels).items()
        assert ref.id in [found.id for found in await backend.list({"owner": "contract"})]
        assert ref.id not in [found.id for found in await backend.list({"owner": "somebody else"})]


async def test_deleted_is_gone(backend: Backend) -> None:
    async with started(backend) as run:
        await backend.delete(run.ref)
        async with asyncio.timeout(60):
            await run.channel.closed.wait()
        with pytest.raises(SandboxGone):
            await run("echo on")
        with pytest.raises(SandboxGone):
            await backend.stream(run.ref)
        with pytest.raises(SandboxGone):
            await backend.get(run.ref.id)
        await backend.delete(run.ref)


async def test_sigterm_from_inside_ends_it(backend: Backend) -> None:
    """Deleting is the only way for a host; no method of boxd ends it."""
    async with started(backend) as run:
        assert "shutdown" not in run.channel.methods
        with pytest.raises(SandboxGone):
            await run("kill 1; sleep 100")
        async with asyncio.timeout(60):
            await run.channel.closed.wait()


@pytest.mark.slow_on_gvisor
async def test_the_lease_ends_it_when_nobody_is_there(backend: Backend) -> None:
    lease = await short_lease(backend)
    async with started(backend, lease=lease) as run:
        await run(f"sleep 100 & sleep {lease + 0.3}")  # an attached host keeps it
        assert (await run("echo on")).stdout == b"on\n"
        await run.channel.aclose()
        async with asyncio.timeout(60):
            while True:
                try:
                    if (await backend.get(run.ref.id)).status == "dead":
                        break
                except SandboxGone:
                    break
                await asyncio.sleep(0.05)


async def test_two_sandboxes_share_nothing(backend: Backend) -> None:
    async with started(backend) as one, started(backend) as two:
        await one("echo secret >file; echo secret >/tmp/file; sleep 7654 &")
        done = await two("ls; ls /tmp; grep -l 7654 /proc/[0-9]*/cmdline")
        assert b"file" not in done.stdout
        assert b"cmdline" not in done.stdout
