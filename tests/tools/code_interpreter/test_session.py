"""The Python session in a real sandbox: what it keeps, refuses and survives."""

from __future__ import annotations

import asyncio

import pytest

from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.tools.code_interpreter.program import NAME, source
from agent_kernel.tools.code_interpreter.session import CodeCell, end_session, run_cell
from tests.sandboxes.inside import Sandbox, started
from tests.tools.code_interpreter.conftest import LIMIT, Run

pytestmark = [pytest.mark.bubblewrap, pytest.mark.asyncio(loop_scope="module")]


async def test_variables_are_kept(run: Run) -> None:
    first = await run("import math\nx = 20\nprint('hi')")
    assert (first.status, first.logs, first.images) == ("ok", "hi\n", ())
    second = await run("x += 1\nx * 2")
    assert (second.logs, second.session) == ("42\n", first.session)
    assert (await run("_ + 1; math.floor(x / 2)")).logs == "10\n"


async def test_threads_of_earlier_cells_print_nothing(run: Run) -> None:
    code = "import threading\ngo, done = threading.Event(), threading.Event()\n"
    code += (
        "def late():\n    go.wait()\n    print('late')\n    done.set()\nthreading.Thread(target=late).start()"
    )
    await run(code)
    found = await run("print('mine'); go.set(); done.wait()\nNone")
    assert found.logs == "mine\n[5 characters that threads of earlier cells printed are left out]\n"


async def test_a_timeout_keeps_the_session(run: Run) -> None:
    before = await run("kept = 5")
    found = await run("print('begun')\nwhile True: pass", seconds=1)
    assert found.status == "timed_out"
    assert "begun\nKeyboardInterrupt\n[The cell took longer than 1 s" in found.logs
    after = await run("kept")
    assert (after.logs, after.session) == ("5\n", before.session)


async def test_cancelling_interrupts_the_cell(run: Run, sandbox: Sandbox) -> None:
    before = await run("kept = 6")
    cell = asyncio.create_task(run("open('cancelled', 'w').close()\nimport time; time.sleep(99)"))
    await sandbox("until [ -e cancelled ]; do sleep 0.02; done")
    cell.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cell
    after = await run("kept")
    assert (after.logs, after.session) == ("6\n", before.session)


async def test_cells_of_two_hosts_take_turns(run: Run, sandbox: Sandbox) -> None:
    other = await Channel.open(await sandbox.backend.stream(sandbox.ref), egress=None)
    try:
        await run("order = []")
        slow = "import time\norder.append('a')\ntime.sleep(0.2)\norder.append('b')\nprint('one')"
        one, two = await asyncio.gather(run(slow), run("order.append('c')\nprint('two')", channel=other))
        assert (one.logs, two.logs) == ("one\n", "two\n")
        assert (await run("order in (['a', 'b', 'c'], ['c', 'a', 'b'])")).logs == "True\n"
    finally:
        await other.aclose()


async def test_nothing_runs_twice_under_one_name(run: Run, sandbox: Sandbox) -> None:
    await run("count = 0")
    cell = CodeCell("cell/named", "count += 1\nprint(count)", 60, LIMIT)
    first, again = await run_cell(sandbox.channel, cell), await run_cell(sandbox.channel, cell)
    assert first.logs == again.logs == "1\n"
    unknown = await run_cell(sandbox.channel, CodeCell("cell/never", "count = 99", 60, LIMIT, known=True))
    assert unknown.status == "unknown"
    assert (await run("count")).logs == "1\n"


async def test_half_a_line_of_a_lost_host_is_dropped(run: Run, sandbox: Sandbox) -> None:
    await run("kept = 7")
    async with sandbox.channel.program(NAME, ["true"]) as program:
        await program.write(b'{"id": "lost", "code": "kept = 0"\n[1]\n"x"\nnull\n{"id": 1}\n')
    assert (await run("kept")).logs == "7\n"


async def test_one_that_cannot_be_interrupted_is_ended(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_kernel.tools.code_interpreter.session.GRACE", 0.5)
    stubborn = (
        "import time\nwhile True:\n    try:\n        time.sleep(99)\n    except KeyboardInterrupt: pass"
    )
    found = await run(stubborn, seconds=1)
    assert found.status == "timed_out"
    assert "The Python session ended (exit code 137)" in found.logs
    assert (await run("1 + 1")).logs == "2\n"


async def test_a_restart_forgets_and_ends_all(run: Run, sandbox: Sandbox) -> None:
    await run("import subprocess; child = subprocess.Popen(['sleep', '8531'])")
    await end_session(sandbox.channel)
    assert (await sandbox("grep -al 'slee[p].8531' /proc/[0-9]*/cmdline")).stdout == b""
    assert "NameError" in (await run("child")).logs


async def test_an_image_without_python_is_told(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await end_session(sandbox.channel)
    with monkeypatch.context() as patch:
        patch.setattr("agent_kernel.tools.code_interpreter.session.command", lambda *_: ["no-python"])
        found = await run("1")
    assert found.status == "ended"
    assert found.logs.endswith("[The container has no Python: python3 cannot be started.]\n")
    assert (await run("1 + 1")).logs.endswith("2\n")


@pytest.mark.slow
async def test_a_fork_bomb_is_ended_with_the_session(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_kernel.tools.code_interpreter.session.GRACE", 0.5)
    bomb = (
        "import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    try: os.fork()\n"
    )
    found = await run(f"{bomb}    except OSError: pass", seconds=1)
    assert found.status in ("timed_out", "ended")  # a session without a process or memory left may end first
    assert (await run("'on'")).logs.endswith("'on'\n")
    left = await sandbox("grep -al AGENT_KERNEL_JOB=program/python /proc/[0-9]*/environ | wc -l")
    assert left.stdout == b"1\n"  # the new session


async def test_a_shell_command_does_not_list_it(run: Run, sandbox: Sandbox) -> None:
    await run("1")
    after = await sandbox.channel.aftermath("/mnt/data", None)
    assert after is not None
    assert after.running == ()


@pytest.mark.docker
@pytest.mark.asyncio(loop_scope="function")
async def test_docker_keeps_a_session_too(docker_backend: DockerBackend) -> None:
    async with started(docker_backend) as sandbox:
        first = await run_cell(sandbox.channel, CodeCell("cell/1", "x = 20\nprint('hi')", 60, LIMIT))
        stuck = await run_cell(sandbox.channel, CodeCell("cell/2", "while True: x += 1", 1, LIMIT))
        again = await run_cell(sandbox.channel, CodeCell("cell/3", "x > 20", 60, LIMIT))
    assert (first.logs, stuck.status, again.logs) == ("hi\n", "timed_out", "True\n")
    assert first.session == again.session


async def test_the_program_is_small() -> None:
    assert len(source(50_000)) < 96 << 10
