"""Nothing that a command puts in place of boxd's own files makes boxd wait."""

from __future__ import annotations

import pytest

from tests.sandboxes.inside import Sandbox
from tests.sandboxes.shared import SHARED, shared_run

pytestmark = SHARED
run = shared_run


FILES = "command prelude restore shell traps state.0 state.1 state.exit out err status"


@pytest.mark.slow_on_gvisor
@pytest.mark.parametrize(
    ("put", "end"),
    [
        ("mkfifo $name", "true"),
        ("mkfifo $name", "exit 3"),
        ("ln -s /dev/zero $name", "exit 3"),
        ("ln -s $name $name", "true"),
        ("mkdir $name", "exit 3"),
        ("mkfifo $name.pipe; ln -s $name.pipe $name", "true"),
    ],
)
async def test_files_replaced_in_the_run_folder_stop_nothing(run: Sandbox, put: str, end: str) -> None:
    replaced = f"cd /run/boxd; for name in {FILES}; do rm -rf $name; {put}; done; cd; {end}"
    await run(replaced, timeout=1)  # bash may wait for a pipe that the command has put there
    for number in range(3):
        done = await run(f"echo {number}", timeout=20)
        assert done.stdout == b"%d\n" % number


@pytest.mark.parametrize("put", ["mkfifo $name", "ln -s /dev/zero $name", "mkdir $name"])
async def test_a_log_that_is_replaced_is_written_anew(run: Sandbox, put: str) -> None:
    number = int((await run("echo $AGENT_KERNEL_JOB")).stdout)
    await run(f"mkdir -p /run/boxd/log; name=/run/boxd/log/{number + 2}.log; {put}", timeout=20)
    assert len((await run("seq 100000", timeout=20)).stdout) == 588895
    assert (await run(f"wc -c </run/boxd/log/{number + 2}.log", timeout=20)).stdout == b"588895\n"
