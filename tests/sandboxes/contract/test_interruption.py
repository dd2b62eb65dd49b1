"""Time limits and interruption, and what they leave alone."""

from __future__ import annotations

import asyncio

import pytest

from agent_kernel.sandboxes.base import WORKSPACE
from agent_kernel.sandboxes.channel import Output, TimedOut
from tests.sandboxes.inside import Sandbox, sleepers
from tests.sandboxes.shared import SHARED, shared_run

pytestmark = SHARED
run = shared_run


async def test_a_timeout_kills_the_tree_and_keeps_the_output(run: Sandbox) -> None:
    command = "echo early; (setsid sleep 3210 &); (sleep 3211 &) & sh -c 'sleep 3212 & wait' ; echo late"
    done = await run(command, timeout=0.7)
    assert (done.outcome, done.stdout, done.stderr) == (TimedOut(), b"early\n", b"")
    assert await sleepers(run, "321") == 0


async def test_a_timeout_spares_earlier_background_processes_and_the_state(run: Sandbox) -> None:
    await run("sleep 4321 & KEPT=1")
    assert (await run("IN=2; cd /tmp; sleep 100", timeout=0.5)).outcome == TimedOut()
    assert (await run("echo $KEPT $IN $PWD")).stdout == b"1 2 /tmp\n"
    assert await sleepers(run, "4321") == 1


@pytest.mark.parametrize(
    "command",
    [
        "while :; do :; done",
        "trap '' INT TERM; sleep 100",
        "f() { sleep 9; f; }; f",
        "trap 'sleep 100' EXIT; sleep 100",
    ],
)
async def test_stubborn_commands_end_too(run: Sandbox, command: str) -> None:
    async with asyncio.timeout(60):
        assert (await run(command, timeout=0.3)).outcome == TimedOut()
        assert (await run("echo on")).stdout == b"on\n"


async def test_closing_the_generator_kills_the_command(run: Sandbox) -> None:
    events = run.channel.run("echo begun; sleep 5432")
    assert await anext(events) == Output("stdout", b"begun\n")
    async with asyncio.timeout(60):
        await events.aclose()
    assert await sleepers(run, "5432") == 0


@pytest.mark.slow_on_gvisor
async def test_cancelling_the_task_kills_the_command(run: Sandbox) -> None:
    begun = asyncio.Event()

    async def consume() -> None:
        async for _ in run.channel.run("echo begun; sleep 100"):
            begun.set()

    task = asyncio.create_task(consume())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await run("echo on", timeout=20)).stdout == b"on\n"


@pytest.mark.slow_on_gvisor
async def test_a_queued_command_can_be_given_up(run: Sandbox) -> None:
    first = asyncio.create_task(run("sleep 0.3; echo first"))
    await asyncio.sleep(0)
    second = asyncio.create_task(run("touch never"))
    await asyncio.sleep(0.05)
    second.cancel()
    assert (await first).stdout == b"first\n"
    assert await run.channel.list(WORKSPACE) == []
