"""A command's output pipes serve the next command only if no process still writes to them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent_kernel.sandboxes.boxd.commands.outputs import Outputs
from agent_kernel.sandboxes.boxd.loop import Loop
from tests.sandboxes.inside import Sandbox
from tests.sandboxes.shared import SHARED, shared_run

pytestmark = SHARED
run = shared_run


INODES = "stat -L -c %i /run/boxd/out /run/boxd/err"


async def test_idle_pipes_serve_the_next_command(run: Sandbox) -> None:
    first = (await run(INODES)).stdout
    assert (await run(INODES)).stdout == first


@pytest.mark.parametrize(
    "holds",
    [
        "sleep 60 &",
        "exec 7>&1 8>&2",
        "(sleep 0.1; echo late; sleep 60) &",
        "exec 7</run/boxd/out; sleep 60 &",
    ],
)
async def test_pipes_that_are_held_are_replaced(run: Sandbox, holds: str) -> None:
    first = (await run(f"{INODES}; {holds}")).stdout.split()
    second = await run(f"sleep 0.2; {INODES}")
    assert len(second.stdout.split()) == 2
    assert second.stdout.split() != first


@pytest.mark.parametrize(
    "replaced",
    [
        "rm /run/boxd/out /run/boxd/err",
        "rm /run/boxd/out; mkfifo /run/boxd/out",
        "rm /run/boxd/out; ln -s /mnt/data/elsewhere /run/boxd/out",
        "rm -r /run/boxd/err; mkdir /run/boxd/err",
        "rm -r /run/boxd/err; echo text >/run/boxd/err",
        "rm /run/boxd/command /run/boxd/status; mkdir /run/boxd/command /run/boxd/status",
    ],
)
async def test_pipes_that_a_command_replaces_are_made_anew(run: Sandbox, replaced: str) -> None:
    await run(replaced, timeout=20)
    done = await run("echo on; echo err >&2; ls -A", timeout=20)
    assert (done.stdout, done.stderr) == (b"on\n", b"err\n")


async def test_output_after_a_command_is_not_the_next_ones(run: Sandbox) -> None:
    await run(
        "mkfifo go; (exec 5>&1 1>&-; read x <go; echo late >&5; exec 5>&-; echo >said) 2>&- & echo early"
    )
    assert (
        await run("echo >go; cat said 2>/dev/null; until [ -e said ]; do sleep 0.01; done")
    ).stdout.strip() == b""
    assert (await run("echo mine")).stdout == b"mine\n"


async def test_failed_starts_leave_no_descriptors_open(tmp_path: Path) -> None:
    outputs = Outputs(Loop(), str(tmp_path))
    outputs._paths = {1: str(tmp_path / "out"), 2: str(tmp_path / "missing" / "err")}
    counts = set()
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            outputs.take()
        counts.add(len(os.listdir("/proc/self/fd")))
    assert len(counts) == 1
