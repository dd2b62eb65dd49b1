"""A terminal for a person, and a fresh shell for the agent."""

from __future__ import annotations

import asyncio

import pytest

from agent_kernel.sandboxes.channel import Exited
from tests.sandboxes.inside import Sandbox, sleepers
from tests.sandboxes.shared import SHARED, shared_run

pytestmark = SHARED
run = shared_run


@pytest.mark.slow_on_gvisor
async def test_a_reset_begins_with_a_fresh_shell(run: Sandbox) -> None:
    await run("X=1; cd /tmp; sleep 6543 & echo x >/mnt/data/file")
    await run.channel.reset()
    assert (await run("echo [$X] $PWD; cat file")).stdout == b"[] /mnt/data\nx\n"
    assert await sleepers(run, "6543") == 1


@pytest.mark.slow_on_gvisor
async def test_variables_are_set_for_later_commands_and_shells(run: Sandbox) -> None:
    text = 'it\'s "a" $value\\\nin lines'
    show = 'printf %s "$CHANGED"; python3 -c \'import os; print(os.environ.get("CHANGED"))\''
    await run("export OLD=1")
    await run.channel.set_variables({"CHANGED": text, "OLD": None, "TERM": "dumb"})
    both = (text + text).encode() + b"\n"
    assert (await run(show + "; echo ${OLD-gone}")).stdout == both + b"gone\n"
    await run("exec false")  # the next shell begins where this one stopped
    assert (await run(show)).stdout == both
    await run.channel.reset()
    assert (await run(show)).stdout == both
    await run("readonly CHANGED")
    await run.channel.set_variables({"CHANGED": None})
    assert (await run("echo on")).stdout == b"on\n"
    await run.channel.reset()
    assert (await run(show)).stdout == b"None\n"


async def test_a_terminal_has_a_size_an_echo_and_an_end(run: Sandbox) -> None:
    await run("cd /tmp")
    shown = b""
    async with run.channel.terminal(24, 100) as terminal:
        await terminal.write(b"stty size; pwd; tty\n")
        async with asyncio.timeout(60):
            while b"/dev/pts/" not in shown:
                piece = await terminal.read()
                assert isinstance(piece, bytes)
                shown += piece
            await terminal.resize(50, 132)
            await terminal.write(b"stty size; exit 4\n")
            while isinstance(piece := await terminal.read(), bytes):
                shown += piece
    assert piece == Exited(4)
    assert b"24 100\r\n" in shown
    assert b"/tmp\r\n" in shown
    assert b"50 132\r\n" in shown


async def test_leaving_a_terminal_hangs_up(run: Sandbox) -> None:
    async with run.channel.terminal(24, 80) as terminal:
        await terminal.write(b"echo be''gun; sleep 8642\n")
        shown = b""
        while b"begun" not in shown:
            piece = await terminal.read()
            assert isinstance(piece, bytes)
            shown += piece
        assert (await run("echo the agent goes on")).code == 0
    async with asyncio.timeout(60):
        while await sleepers(run, "8642"):  # noqa: ASYNC110 (a process in there tells nobody of its end)
            await asyncio.sleep(0.02)
