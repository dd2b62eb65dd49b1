"""The end of a Python session: what is told, what is gone by name, and what the next one gets."""

from __future__ import annotations

import asyncio

import pytest

from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.tools.code_interpreter.names import MOST_NAMED, names_in
from agent_kernel.tools.code_interpreter.session import CodeCell, end_session, run_cell
from tests.sandboxes.inside import Sandbox, sleepers, started
from tests.tools.code_interpreter.conftest import LIMIT, Run

pytestmark = [pytest.mark.bubblewrap, pytest.mark.asyncio(loop_scope="module")]

NEW = "[A new Python session: variables of earlier calls are gone"
FILE = "/var/lib/agent-kernel/python-names"


async def test_an_end_names_the_variables_once(run: Run) -> None:
    await run("import math\nframe, rate = [1], 2\n_hidden = 3\ndef clean(): pass")
    found = await run("import os\nprint('before')\nos._exit(9)")
    assert found.status == "ended"
    note = "The Python session ended (exit code 9). Its variables are gone: frame, rate, clean."
    assert found.logs == f"[{note} The next call begins a new one.]\n"
    after = await run("globals().get('frame', 'none')")
    assert (after.status, after.logs, after.session) == ("ok", "'none'\n", found.session + 1)


async def test_a_restart_names_the_variables(run: Run, sandbox: Sandbox) -> None:
    await run("frame = 1")
    await run("del frame\nrate = 2")
    await end_session(sandbox.channel)
    assert (await run("1")).logs == f"{NEW}: rate.]\n1\n"


async def test_a_session_killed_between_calls_is_told(run: Run, sandbox: Sandbox) -> None:
    pid = (await run("frame = 1\nimport os\nos.getpid()")).logs.strip()
    await sandbox(f"kill -9 {pid}; while kill -0 {pid}; do sleep 0.01; done")
    assert (await run("2")).logs == f"{NEW} (exit code 137): frame.]\n2\n"


async def test_many_names_are_counted(run: Run, sandbox: Sandbox) -> None:
    await end_session(sandbox.channel)
    await run("globals().update({f'v{n}': n for n in range(500)}, **{'x' * 5000: 1, 'a\\nb': 2})")
    await end_session(sandbox.channel)
    first = (await run("1")).logs.splitlines()[0]
    assert first.startswith(f"{NEW}: v0, v1, ")
    assert first.endswith(" more.]")
    assert first.count(",") == MOST_NAMED - 1


@pytest.mark.parametrize(
    "forged",
    [
        "head -c 300000 /dev/zero >{}",
        "mkfifo {}",
        "mkdir {}",
        "ln -s /dev/zero {}",
        "printf '[1]' >{}",
        'printf \'{{"names": [[], 7, "a b", "\\\\u001b[2J"], "more": "x"}}\' >{}',
        'for n in $(seq 20000); do printf "["; done >{}',
    ],
    ids=["large", "fifo", "folder", "device", "list", "names", "deep"],
)
async def test_a_forged_list_of_names_is_left_out(run: Run, sandbox: Sandbox, forged: str) -> None:
    await end_session(sandbox.channel)
    done = await sandbox(f"rm -rf {FILE}; " + forged.format(FILE))
    assert done.code == 0, done
    assert (await run("1")).logs == "1\n"
    await sandbox(f"rm -rf {FILE}")


@pytest.mark.parametrize(
    ("script", "seconds", "told"),
    [
        ("echo broken >&2; exit 3", 60, "broken\n[The Python session could not be started (exit code 3).]"),
        ("exec sleep 8532", 1, "[The Python session could not be started (it took longer than 1 s).]"),
    ],
    ids=["fails", "hangs"],
)
async def test_a_session_that_does_not_start_is_told(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, script: str, seconds: float, told: str
) -> None:
    await end_session(sandbox.channel)
    with monkeypatch.context() as patch:
        patch.setattr("agent_kernel.tools.code_interpreter.session.command", lambda *_: ["sh", "-c", script])
        found = await run("1", seconds=seconds)
    assert (found.status, found.logs) == ("ended", f"{told}\n")
    assert await sleepers(sandbox, "8532") == 0
    assert (await run("1 + 1")).logs.endswith("2\n")


async def test_variables_brought_later_reach_the_session(run: Run, sandbox: Sandbox) -> None:
    await run("import os, subprocess")
    look = "print(os.environ.get('BROUGHT'), flush=True)\nsubprocess.run(['printenv', 'BROUGHT'])\nNone"
    await sandbox.channel.set_variables({"BROUGHT": "later"})
    assert (await run(look)).logs == "later\nlater\n"
    await run("os.environ['BROUGHT'] = 'mine'")
    assert (await run(look)).logs == "mine\nmine\n"
    await sandbox.channel.set_variables({"BROUGHT": "again"})
    assert (await run(look)).logs == "again\nagain\n"
    await sandbox.channel.set_variables({"BROUGHT": None})
    assert (await run(look)).logs == "None\n"


def out_of_memory(limit: str) -> str:
    what = f"was ended: it used more than the container's {limit} of memory. Its variables are gone: kept."
    return f"[The Python session {what} The next call begins a new one.]\n"


BLOCKS = "blocks = []\nwhile True: blocks.append(bytearray(b'x') * (32 << 20))"
"""Uses memory until there is none, without ever being refused some."""


async def test_the_memory_limit_is_named(run: Run, sandbox: Sandbox) -> None:
    await end_session(sandbox.channel)
    await run("kept = 1")
    found = await run(BLOCKS)
    assert (found.status, found.logs) == ("ended", out_of_memory("512 MiB"))
    assert (await run("'on'")).logs == "'on'\n"


@pytest.mark.docker
@pytest.mark.asyncio(loop_scope="function")
async def test_the_memory_limit_is_named_on_docker(docker_backend: DockerBackend) -> None:
    async with started(docker_backend, memory=256 << 20) as sandbox:
        await run_cell(sandbox.channel, CodeCell("cell/1", "kept = 1", 60, LIMIT))
        found = await run_cell(sandbox.channel, CodeCell("cell/2", BLOCKS, 60, LIMIT))
        again = await run_cell(sandbox.channel, CodeCell("cell/3", "'on'", 60, LIMIT))
    assert (found.status, found.logs, again.logs) == ("ended", out_of_memory("256 MiB"), "'on'\n")


async def test_names_are_read_from_code() -> None:
    code = (
        "import math\nframe = load()\nrate: float = 2\nif rate == 3:\n    x = 1\nmain()\ndef clean(a): pass\n"
    )
    code += "class Model:\n    y = 2\n_hidden = 4\nframe = 5\nodds <- c(1)"
    assert names_in([code, "late = 1", ""]) == "frame, rate, clean, Model, odds, late"
    assert names_in(["\n".join(f"v{n} = 1" for n in range(MOST_NAMED + 5))]).endswith(" and 5 more")
    assert names_in([]) == ""


async def test_an_interrupt_before_the_cell_begins_is_not_lost(run: Run, sandbox: Sandbox) -> None:
    """The session is stopped until the first interrupt waits for it, so that one finds no cell that runs."""
    before = await run("kept = 1\nimport os\nos.getpid()")
    pid = before.logs.splitlines()[-1]
    await sandbox(f"kill -STOP {pid}")
    waits = f"until grep -q 'ShdPnd:.*2$' /proc/{pid}/status; do sleep 0.02; done; kill -CONT {pid}"
    found, _ = await asyncio.gather(run("import time; time.sleep(8533)", seconds=0.2), sandbox(waits))
    assert found.status == "timed_out"
    after = await run("kept")
    assert (after.logs, after.session) == ("1\n", before.session)
