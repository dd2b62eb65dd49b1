"""Output without end: memory stays bounded at both ends, an interrupt works at once, the session goes on.

A command prints 200 MB, and in the slow case AGENT_KERNEL_TEST_OUTPUT_GB (1; the promise is made for 10).
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.channel import Exited, Output
from tests.sandboxes.inside import Sandbox, started

GIGABYTES = float(os.environ.get("AGENT_KERNEL_TEST_OUTPUT_GB", "1"))
GROWTH = 30 << 20
LOOK_EVERY = 16 << 20


def resident() -> int:
    """Bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def peak_inside(run: Sandbox) -> int:
    """The most that boxd has had in memory so far, in bytes; gVisor tells only what it has now."""
    told = await run("grep -E '^Vm(HWM|RSS)' /proc/1/status | sort | head -n 1 | tr -dc 0-9")
    return int(told.stdout) * 1024


@pytest.mark.timeout(900)
@pytest.mark.parametrize("gigabytes", [0.2, pytest.param(GIGABYTES, marks=pytest.mark.slow)])
@pytest.mark.on_docker
async def test_endless_output_takes_no_memory(backend: Backend, gigabytes: float) -> None:
    async with started(backend) as run:
        await run("X=kept; head -c 20000000 /dev/zero")  # what is allocated once
        before, inside = resident(), await peak_inside(run)
        received = most = 0
        wanted = int(gigabytes * 1e9)
        async for event in run.channel.run(f"yes | head -c {wanted}"):
            if isinstance(event, Output):
                received += len(event.data)
                if received % LOOK_EVERY < len(event.data):
                    most = max(most, resident())
            else:
                assert event == Exited(0, log=event.log if isinstance(event, Exited) else None)
        assert received == wanted
        assert most - before < GROWTH, f"{(most - before) / 1e6:.1f} MB"
        assert await peak_inside(run) - inside < GROWTH
        assert (await run("echo $X")).stdout == b"kept\n"


async def test_endless_output_ends_when_it_is_told_to(backend: Backend) -> None:
    async with started(backend) as run:
        await run("X=kept; head -c 20000000 /dev/zero")
        before, received = resident(), 0
        output = run.channel.run("yes")
        async for event in output:
            assert isinstance(event, Output)
            received += len(event.data)
            if received > 50_000_000:
                break
        async with asyncio.timeout(60):  # not when the command ends: it has no end
            await output.aclose()
        assert resident() - before < GROWTH
        assert (await run("echo $X; grep -sx yes /proc/[0-9]*/comm")).stdout == b"kept\n"
