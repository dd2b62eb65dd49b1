"""Long-lived programs that hosts talk to over the stream."""

from __future__ import annotations

import asyncio

import pytest

from agent_kernel.errors import SandboxError
from agent_kernel.sandboxes.channel import Channel, Exited, Program, TimedOut
from tests.sandboxes.inside import Sandbox, sleepers
from tests.sandboxes.shared import SHARED, shared_run

pytestmark = SHARED
run = shared_run

SHELL = ["sh", "-c", 'while read -r line; do eval "$line"; done; echo bye >&2; exit 3']
"""A program that runs each line it is sent."""


async def until(program: Program, text: bytes) -> bytes:
    """Read until the program has printed this."""
    printed = b""
    while text not in printed:
        event = await program.read()
        assert not isinstance(event, Exited), (event, printed)
        printed += event.data
    return printed


async def end_of(program: Program) -> tuple[Exited, bytes]:
    printed = b""
    while True:
        event = await program.read()
        if isinstance(event, Exited):
            return event, printed
        printed += event.data


async def test_it_is_written_to_read_and_ends(run: Sandbox) -> None:
    async with run.channel.program("talks", SHELL) as program:
        assert (program.started, program.before) == (True, None)
        await program.write(b"X=1; echo $PWD $EDITOR\n")
        assert b"/mnt/data" in await until(program, b"\n")
        await program.write(b"echo $X")
        await program.write(b"$X\n")
        await until(program, b"11\n")
        await program.write_eof()
        assert await end_of(program) == (Exited(3), b"bye\n")
    async with run.channel.program("talks", SHELL) as program:
        assert (program.started, program.number) == (True, 2)


async def test_it_lives_on_without_a_host(run: Sandbox) -> None:
    async with run.channel.program("lives", SHELL) as program:
        await program.write(b"X=kept; echo set\n")
        await until(program, b"set\n")
    other = await Channel.open(await run.backend.stream(run.ref), egress=None)
    try:
        async with other.program("lives", SHELL) as again:
            assert (again.started, again.number) == (False, program.number)
            await again.write(b"echo $X\n")
            await until(again, b"kept")
    finally:
        await other.aclose()


async def test_callers_take_turns(run: Sandbox) -> None:
    entered = asyncio.Event()

    async def second() -> None:
        async with run.channel.program("turns", SHELL) as program:
            entered.set()
            await program.write(b"echo $X\n")
            await until(program, b"first")

    async with run.channel.program("turns", SHELL) as program:
        task = asyncio.create_task(second())
        await program.write(b"X=first; echo set\n")
        await until(program, b"set\n")
        await run("true")  # a later call is answered, and the one before still waits
        assert not entered.is_set()
    await task


async def test_an_interrupt_reaches_its_group(run: Sandbox) -> None:
    code = "import time\ntry:\n    print('ready', flush=True)\n    time.sleep(99)\n"
    code += "except KeyboardInterrupt:\n    print('caught')"
    async with run.channel.program("interrupted", ["python3", "-c", code]) as program:
        await until(program, b"ready\n")
        await program.interrupt()
        assert await end_of(program) == (Exited(0), b"caught\n")


async def test_a_kill_ends_all_that_it_has_started(run: Sandbox) -> None:
    async with run.channel.program("killed", SHELL) as program:
        await program.write(b"sleep 7531 & setsid sleep 7532 & env -i sleep 7533 & echo on\n")
        await until(program, b"on\n")
        await program.kill()
        end, _ = await end_of(program)
    assert end == Exited(137)
    assert await sleepers(run, "753") == 0


@pytest.mark.slow_on_gvisor
async def test_the_end_of_a_command_leaves_it_alone(run: Sandbox) -> None:
    async def command() -> None:
        assert isinstance((await run("touch begun; sleep 99", timeout=2)).outcome, TimedOut)

    task = asyncio.create_task(command())
    async with run.channel.program("alone", SHELL) as program:  # begins while the command runs
        await program.write(b"until [ -e begun ]; do sleep 0.02; done; echo both\n")
        await until(program, b"both\n")
        await task
        await program.write(b"echo on\n")
        await until(program, b"on\n")


@pytest.mark.slow_on_gvisor
async def test_a_slow_host_slows_it(run: Sandbox) -> None:
    async with run.channel.program("prints", SHELL) as program:
        await program.write(b"head -c 3000000 /dev/zero | tr '\\0' x; echo; touch /tmp/printed\n")
        assert (await run("sleep 0.2; [ ! -e /tmp/printed ]")).code == 0
        printed = await until(program, b"\n")
        assert len(printed) == 3_000_001
        await program.write(b"head -c 2000000 | wc -c\n" + b"x" * 2_000_000)
        assert await until(program, b"\n") == b"2000000\n"


async def test_it_survives_a_pause(run: Sandbox) -> None:
    async with run.channel.program("paused", SHELL) as program:
        await program.write(b"X=1; echo set\n")
        await until(program, b"set\n")
    assert await run.channel.pause(idle=True)
    async with run.channel.program("paused", SHELL) as program:  # which wakes the sandbox
        await program.write(b"echo $X on\n")
        await until(program, b"1 on")


@pytest.mark.slow_on_gvisor
async def test_an_end_that_no_host_saw_is_told(run: Sandbox) -> None:
    async with run.channel.program("unseen", SHELL) as program:
        await program.write(b"echo set; sleep 0.1; exit 5\n")
        await until(program, b"set\n")
    await run("while pgrep -f 'while read -r line' >/dev/null; do sleep 0.02; done; sleep 0.1")
    async with run.channel.program("unseen", SHELL) as program:
        assert (program.started, program.before) == (True, "exit code 5")


async def test_one_that_cannot_be_started(run: Sandbox) -> None:
    async with run.channel.program("missing", ["no-such-program"]) as program:
        end, printed = await end_of(program)
    assert (end, printed) == (Exited(127), b"no-such-program: No such file or directory\n")
    for name, command in (("", ["true"]), ("x" * 50, ["true"]), ("x", ["a\0b"])):
        with pytest.raises(SandboxError):
            async with run.channel.program(name, command):
                pass
    assert (await run("echo on")).stdout == b"on\n"
