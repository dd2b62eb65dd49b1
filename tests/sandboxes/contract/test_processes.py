"""Processes: reaped without a race, ended with their sandbox, and never taken for another."""

from __future__ import annotations

import asyncio

import pytest

from agent_kernel.errors import SandboxGone
from agent_kernel.sandboxes.base import Backend, SandboxSpec
from agent_kernel.sandboxes.channel import Output
from tests.sandboxes.inside import Sandbox, new_id, sleepers, started
from tests.sandboxes.shared import SHARED


@SHARED
async def test_orphans_are_reaped_and_no_exit_code_is_lost(shared_run: Sandbox) -> None:
    script = (
        "for i in $(seq 60); do (setsid sh -c 'exit 3' &); done\n"
        'for i in $(seq 20); do sh -c "exit $i" & pids="$pids $!"; done\n'
        'n=0; for p in $pids; do n=$((n + 1)); wait $p; [ $? = $n ] || echo "lost $n"; done; echo all'
    )
    assert (await shared_run(script)).stdout == b"all\n"
    zombies = "grep -hs '^State:' /proc/[0-9]*/status | grep -c Z"
    async with asyncio.timeout(60):
        while (await shared_run(zombies)).stdout != b"0\n":  # noqa: ASYNC110 (the last ones may be ending just now)
            await asyncio.sleep(0.02)


@SHARED
async def test_interrupting_what_has_ended_harms_nothing(shared_run: Sandbox) -> None:
    """No signal goes to a pid that another process may have by now."""
    run = shared_run
    await run("sleep 9753 & KEPT=1")
    for _ in range(20):
        events = run.channel.run("echo quick")
        await anext(events)
        await events.aclose()
    assert (await run("echo $KEPT")).stdout == b"1\n"
    assert await sleepers(run, "9753") == 1


async def test_a_sandbox_that_dies_in_mid_command_gives_no_exit_code(backend: Backend) -> None:
    async with started(backend) as run:
        events = run.channel.run("echo half; sleep 100")
        assert await anext(events) == Output("stdout", b"half\n")
        await backend.delete(run.ref)
        with pytest.raises(SandboxGone):
            await anext(events)


@pytest.mark.parametrize("after", [0.0, 0.01, 0.05, 0.2])
async def test_a_start_cut_short_leaves_nothing(backend: Backend, after: float) -> None:
    spec = SandboxSpec(new_id())
    task = asyncio.create_task(backend.create(spec))
    await asyncio.sleep(after)
    task.cancel()
    try:
        await backend.delete(await task)  # it was faster
    except asyncio.CancelledError:
        assert spec.id not in [ref.id for ref in await backend.list()]
