"""What a sandbox uses, read from outside."""

from __future__ import annotations

import pytest

from agent_kernel.sandboxes.base import Backend, SandboxRef
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.docker.container import container_name
from agent_kernel.sandboxes.docker.engine import stats
from agent_kernel.sandboxes.near.group_usage import group_of
from agent_kernel.sandboxes.optional import ComputeUsage, metering_of
from tests.conftest import Missing
from tests.sandboxes.inside import started

TICK = 0.03
"""Seconds by which a process's own times may be ahead of its group's: they are rounded."""

BURN = "python3 -c 'import os\nwhile sum(os.times()[:2]) < 0.2: pass\nprint(sum(os.times()[:2]))'"

FORGE = """
for file in $(find /sys/fs/cgroup \\( -name 'cpu*' -o -name 'memory*' \\) -type f); do
  (echo 0 > $file) 2>/dev/null && echo $file
done
(mkdir /sys/fs/cgroup/cpuacct/x || mkdir /sys/fs/cgroup/x) 2>/dev/null && echo made
true
"""
"""Tries to set every counter that a sandbox can see to zero, and prints what it could change."""


async def read(backend: Backend, ref: SandboxRef) -> ComputeUsage:
    metering = metering_of(backend)
    assert metering is not None
    found = await metering.usage(ref)
    assert found is not None
    return found


@pytest.fixture(params=["docker", "bubblewrap"])
def metered(request: pytest.FixtureRequest, missing: Missing) -> Backend:
    """Not gVisor: what its processes say about their own times is no measure."""
    found: Backend = request.getfixturevalue(f"{request.param}_backend")
    if not found.capabilities().metering:
        missing("This user cannot create control groups that count processor time. Run the tests as root.")
    return found


async def test_usage_is_counted_and_cannot_be_forged(metered: Backend) -> None:
    async with started(metered) as run:
        before = await read(metered, run.ref)
        assert before.memory_bytes > 0
        inside = float((await run(BURN)).stdout)
        burnt = await read(metered, run.ref)
        assert inside - TICK <= burnt.cpu_seconds - before.cpu_seconds <= 2 * inside + 1
        assert (await run(FORGE)).stdout == b""
        assert (await read(metered, run.ref)).cpu_seconds >= burnt.cpu_seconds
        if isinstance(metered, DockerBackend):
            await the_engine_says_the_same(metered, run.ref, burnt)
    metering = metering_of(metered)
    assert metering is not None
    assert await metering.usage(run.ref) is None, "it has ended"


async def the_engine_says_the_same(backend: DockerBackend, ref: SandboxRef, burnt: ComputeUsage) -> None:
    """As for an engine whose control groups cannot be seen from here."""
    api = await backend._engine.api()
    asked = await backend._engine.ask(stats, api, container_name(ref.id))
    assert asked is not None
    assert burnt.cpu_seconds <= asked.cpu_seconds <= (await read(backend, ref)).cpu_seconds
    assert asked.memory_bytes > 0
    backend._groups.pop(ref.id)
    assert (await read(backend, ref)).cpu_seconds >= asked.cpu_seconds


def test_a_group_that_others_share_is_not_read() -> None:
    assert group_of(1, "the-id-of-no-sandbox") == {}
