"""The full log of a long output."""

from __future__ import annotations

import pytest

from agent_kernel.sandboxes.channel import Exited
from tests.sandboxes.inside import Sandbox
from tests.sandboxes.shared import SHARED, shared_run

pytestmark = SHARED
run = shared_run


async def test_a_short_output_has_no_log(run: Sandbox) -> None:
    assert (await run("echo short")).outcome == Exited(0)


@pytest.mark.slow_on_gvisor
async def test_a_long_output_lies_in_a_file_inside(run: Sandbox) -> None:
    done = await run("seq 100000; echo wrong >&2")
    assert isinstance(done.outcome, Exited)
    assert done.outcome.log is not None
    logged = await run(f"cat {done.outcome.log}")
    assert sorted(logged.stdout.splitlines()) == sorted([*done.stdout.splitlines(), b"wrong"])


@pytest.mark.slow_on_gvisor
async def test_a_very_long_output_keeps_head_and_tail(run: Sandbox) -> None:
    done = await run("seq 5000000")
    assert isinstance(done.outcome, Exited)
    logged = (await run(f"cat {done.outcome.log}")).stdout
    assert logged.startswith(b"1\n2\n3\n")
    assert logged.endswith(b"4999999\n5000000\n")
    assert b"bytes left out" in logged
    assert len(logged) < 4 << 20


@pytest.mark.slow_on_gvisor
async def test_logs_are_bounded_together(run: Sandbox) -> None:
    for _ in range(12):
        await run("seq 1000000")
    assert int((await run("ls /run/boxd/log | wc -l")).stdout) <= 8
