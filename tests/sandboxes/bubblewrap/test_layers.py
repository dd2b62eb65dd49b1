"""Checkpoints as layers under a running sandbox: who is moved, who is left, and what cannot be changed."""

from __future__ import annotations

import asyncio
import itertools
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from agent_kernel.errors import SandboxError
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.folder import find_process
from agent_kernel.sandboxes.bubblewrap.layers import squashing
from agent_kernel.sandboxes.bubblewrap.layers.sandbox import TARGETS, read_lowers
from agent_kernel.sandboxes.bubblewrap.layers.store import lock
from agent_kernel.sandboxes.optional import Snapshot, snapshots_of
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.tools.code_interpreter.session import CodeCell, run_cell
from tests.conftest import CHECKOUT, Missing
from tests.sandboxes.bubblewrap.system_calls import count
from tests.sandboxes.inside import Sandbox, checkpoint, started

pytestmark = pytest.mark.asyncio(loop_scope="module")

BACKGROUND = "</dev/null >/dev/null 2>&1 & echo $!"

SOCKET = 'import socket, time; s = socket.socket(1); s.bind("sub/socket"); s.listen(); time.sleep(1000)'
ATTEMPTS = ("echo x >file", "mkdir more", "chmod 0 file", "mv file x")
SAID = "Read-only file system"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(
    toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory, missing: Missing
) -> AsyncIterator[BubblewrapBackend]:
    backend = BubblewrapBackend(tmp_path_factory.mktemp("layers"), toolbox)
    probe = await backend.probe()
    if "no overlay" in probe.detail:
        missing(probe.detail)
    assert "(overlay)" in probe.detail
    yield backend
    await backend.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def run(backend: BubblewrapBackend) -> AsyncIterator[Sandbox]:
    async with started(backend) as sandbox:
        await sandbox("mkdir sub; echo old >file; echo old >sub/file")
        yield sandbox
    for snapshot in await backend.snapshots():
        await backend.remove_snapshot(snapshot.id)
    assert left(backend) == []


def folder_of(run: Sandbox) -> Path:
    assert isinstance(run.backend, BubblewrapBackend)
    return run.backend._folder(run.ref.id)


def wait_for_helper(folder: Path) -> None:
    """Wait until nobody changes a sandbox's mounts: a killed host may just have asked for that."""
    with lock(folder):
        return


def mounts_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/mountinfo").read_text().splitlines()


def left(backend: BubblewrapBackend) -> list[Path]:
    data = backend._root.parent
    return [*data.glob("layers/*"), *data.glob("snapshots/*"), *data.glob("sandboxes/*")]


def layers_below(run: Sandbox) -> int:
    return len(read_lowers(folder_of(run)) or ())


async def content(run: Sandbox, snapshot: Snapshot, command: str) -> bytes:
    async with started(run.backend, snapshot=snapshot.id) as other:
        return (await other(command)).stdout


async def test_each_mount_is_one_overlay_with_the_same_limits(run: Sandbox) -> None:
    await checkpoint(run)
    await run("echo more >more")
    await checkpoint(run)
    assert layers_below(run) == 2
    process = find_process(folder_of(run))
    assert process is not None
    lines = [line.split() for line in mounts_of(process.pid)]
    for target in TARGETS.values():
        found = [line for line in lines if line[4] == target]
        assert [line[line.index("-") + 1] for line in found] == ["overlay"]
        assert {"rw", "nosuid", "nodev"} <= set(found[0][5].split(","))
    shown = (await run("cat /proc/self/mountinfo")).stdout.decode()
    assert str(CHECKOUT) not in shown
    assert "lowerdir=/proc/self/fd" in shown  # and no path of the host
    assert (await run("echo x >/dev/null; ls -A /mnt/data")).stdout == b"file\nmore\nsub\n"


async def test_processes_at_the_top_go_on_in_the_new_mount(run: Sandbox) -> None:
    await run(f"(until [ -e go ]; do sleep 0.01; done; echo new >file; touch done) {BACKGROUND}")
    snapshot = await checkpoint(run)
    assert layers_below(run) == 1
    done = await run("touch go; until [ -e done ]; do sleep 0.01; done; cat file", timeout=20)
    assert done.stdout == b"new\n"
    assert await content(run, snapshot, "cat file; ls") == b"old\nfile\nsub\n"


async def test_shell_keeps_its_directory_and_the_last_one(run: Sandbox) -> None:
    await run("cd /mnt/data; cd sub")
    snapshot = await checkpoint(run)
    assert layers_below(run) == 1
    assert (
        await run("echo new >file; pwd; cat ../sub/file; cd -")
    ).stdout == b"/mnt/data/sub\nnew\n/mnt/data\n"
    assert await content(run, snapshot, "cat file") == b"old\n"


async def test_python_session_goes_on_in_the_new_mount(run: Sandbox) -> None:
    await run_cell(run.channel, CodeCell("one", "import pandas; x = 1; open('a', 'w').write('a')", 60, 2000))
    snapshot = await checkpoint(run)
    assert layers_below(run) == 1
    await run_cell(run.channel, CodeCell("two", "open('a', 'w').write(f'b{x}')", 60, 2000))
    assert (await run("cat a")).stdout == b"b1"
    assert await content(run, snapshot, "cat a") == b"a"


@pytest.mark.parametrize(
    "held",
    [
        f"sleep 1000 3>>file {BACKGROUND}",
        f"cd sub; sleep 1000 {BACKGROUND}; cd ..",
        f"sleep 1000 3<sub {BACKGROUND}",
        f"mkfifo sub/pipe; sleep 1000 3<>sub/pipe {BACKGROUND}",
        f"python3 -c '{SOCKET}' {BACKGROUND}; until [ -e sub/socket ]; do sleep 0.01; done",
    ],
    ids=["a file open for writing", "a working directory", "an open folder", "a pipe", "a socket"],
)
async def test_with_what_would_break_a_process_files_are_copied(run: Sandbox, held: str) -> None:
    first = await checkpoint(run)
    pid = (await run(held)).stdout.decode().split()[0]
    await run(f"until [ $(cat /proc/{pid}/comm) != bash ]; do sleep 0.01; done", timeout=20)  # all is open
    await run("echo new >sub/file; rm file; touch file")
    second = await checkpoint(run)
    assert layers_below(run) == 1  # the sandbox stays above its layers
    assert len(second.layers) == 2
    assert set(first.layers) < set(second.layers)
    await run("echo newest >sub/file; mkdir /mnt/data/more")
    assert await content(run, second, "cat sub/file; ls; wc -c <file") == b"new\nfile\nsub\n0\n"
    await run(f"kill {pid}; while [ -e /proc/{pid} ]; do sleep 0.01; done", timeout=20)
    third = await checkpoint(run)
    assert layers_below(run) == 2
    assert await content(run, third, "cat sub/file; ls") == b"newest\nfile\nmore\nsub\n"


async def test_nothing_inside_can_change_a_layer(run: Sandbox) -> None:
    """A process that pretends to be boxd's idle shell stays in the old mount, where it cannot write."""
    lines = ["exec 9<>/tmp/pipe", "touch /tmp/began", "read -r -u 9", *ATTEMPTS, "touch /tmp/end"]
    await run(f"mkfifo /tmp/pipe; printf '%s\\n' {shlex.join(lines)} >/tmp/lines; exec 8>/tmp/said")
    await run("(cd sub; setsid bash --noprofile --norc -s </tmp/lines >/dev/null 2>&8 &); exec 8>&-")
    await run("until [ -e /tmp/began ]; do sleep 0.01; done", timeout=20)
    snapshot = await checkpoint(run)
    await run("echo >/tmp/pipe; until [ -e /tmp/end ]; do sleep 0.01; done", timeout=20)
    said = (await run("cat /tmp/said")).stdout.decode()
    assert said.count(SAID) == len(ATTEMPTS), said
    assert layers_below(run) == 1
    assert await content(run, snapshot, "cat sub/file; ls sub") == b"old\nfile\n"


async def test_dead_sandbox_has_a_checkpoint_with_everything(run: Sandbox) -> None:
    await checkpoint(run)
    await run("echo new >file; rm -r sub")
    process = find_process(folder_of(run))
    assert process is not None
    await asyncio.to_thread(process.end)
    snapshot = await run.backend.checkpoint(run.ref, "of-the-dead", {})  # type: ignore[attr-defined]
    assert await content(run, snapshot, "cat file; ls") == b"new\nfile\n"


CUT = """
import asyncio, os, signal, sys
from pathlib import Path
from agent_kernel.sandboxes.base import SandboxRef
from agent_kernel.sandboxes.bubblewrap import snapshots
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.layers import sandbox, namespaces
from agent_kernel.sandboxes.toolbox import Toolbox
moment, data, id = sys.argv[1:]
snapshots.is_little = lambda source: False
def cut(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if moment == "asked":
    namespaces._check_answer = cut
elif moment == "noted":
    namespaces.Entrance.put = cut
else:
    name = {"mounted": "_complete", "moved": "_finished"}[moment]
    setattr(sandbox.SandboxLayers, name, cut)
backend = BubblewrapBackend(Path(data), Toolbox(Path(data)))
asyncio.run(backend.checkpoint(SandboxRef(id, "bubblewrap", "running"), "cut", {}))
"""


@pytest.mark.parametrize(
    ("moment", "dies"),
    [
        ("asked", False),
        ("mounted", True),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in itertools.product(("noted", "asked", "mounted", "moved"), (False, True))
            if case not in (("asked", False), ("mounted", True))
        ),
    ],
)
async def test_host_killed_at_any_moment_leaves_a_whole_sandbox(
    run: Sandbox, moment: str, dies: bool
) -> None:
    backend = run.backend
    assert isinstance(backend, BubblewrapBackend)
    first = await checkpoint(run)
    await run("echo new >file; rm -r sub; mkdir sub")
    await run.channel.pause()
    words = [sys.executable, "-c", CUT, moment, str(backend._root.parent), run.ref.id]
    done = await asyncio.to_thread(subprocess.run, words, cwd=CHECKOUT, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    await asyncio.to_thread(wait_for_helper, folder_of(run))
    await run.channel.wake()
    expected = b"newer\nfile\nsub\n"
    await run("cd /mnt/data; echo newer >file")
    assert (await run("cat file; ls")).stdout == expected
    assert [each.id for each in await backend.snapshots()] == [first.id]
    if dies:
        process = find_process(folder_of(run))
        assert process is not None
        await asyncio.to_thread(process.end)
        second = await backend.checkpoint(run.ref, "second", {})
    else:
        second = await checkpoint(run)
        await run("echo newest >file")
    assert await content(run, second, "cat file; ls; ls sub") == expected
    assert await content(run, first, "cat file; cat sub/file") == b"old\nold\n"


@pytest.mark.parametrize("held", ["", f"sleep 1000 3>>open {BACKGROUND}"], ids=["idle", "busy"])
async def test_old_versions_do_not_make_a_checkpoint_too_large(run: Sandbox, held: str) -> None:
    snapshots = snapshots_of(run.backend)
    for number in range(3):
        await run(f"head -c 2M /dev/urandom >file; touch new-{number}")
        last = await checkpoint(run)
    await run(f"{held or ':'}; rm new-0")
    assert last.size > 6 << 20
    with pytest.raises(SandboxError, match="would take"):
        await snapshots.checkpoint(run.ref, "too-large", {}, most=1 << 20)
    kept = await snapshots.checkpoint(run.ref, f"kept-{bool(held)}", {}, most=3 << 20)
    assert len(kept.layers) == 1
    assert 2 << 20 < kept.size < 3 << 20
    assert (await content(run, kept, "wc -c <file; ls -d new-*")) == b"2097152\nnew-1\nnew-2\n"


async def test_layers_stay_for_as_long_as_somebody_needs_them(run: Sandbox) -> None:
    backend = run.backend
    assert isinstance(backend, BubblewrapBackend)
    first = await checkpoint(run)
    async with started(backend, snapshot=first.id) as fork:
        await backend.remove_snapshot(first.id)
        assert (await fork("cat file sub/file")).stdout == b"old\nold\n"
        second = await checkpoint(fork)
    assert set(first.layers) < set(second.layers)
    assert await content(run, second, "cat file sub/file") == b"old\nold\n"
    assert (await run("cat file sub/file")).stdout == b"old\nold\n"
    await backend.remove_snapshot(second.id)
    assert len([*backend._root.parent.glob("layers/*")]) == 1  # the running sandbox's


async def test_chain_stays_short_and_keeps_each_checkpoint(
    run: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(squashing, "RUN", 3)
    kept = []
    for number in range(9):
        await run(f"echo {number} >file; echo {number} >new-{number}; rm -f new-{number - 3}")
        kept.append(await checkpoint(run))
    assert 1 < layers_below(run) < 6
    for number in (0, 5, 8):
        names = sorted(f"new-{n}" for n in range(max(0, number - 2), number + 1))
        seen = await content(run, kept[number], "cat file; ls -d new-*")
        assert seen.decode().split() == [str(number), *names]


COUNTED = """
import asyncio, sys
from pathlib import Path
from agent_kernel.sandboxes.base import SandboxRef
from agent_kernel.sandboxes.bubblewrap import snapshots
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.toolbox import Toolbox
data, id, name = sys.argv[1:]
snapshots.is_little = lambda source: False
backend = BubblewrapBackend(Path(data), Toolbox(Path(data)))
asyncio.run(backend.checkpoint(SandboxRef(id, "bubblewrap", "running"), name, {}))
"""


async def test_full_workspace_takes_no_more_system_calls(run: Sandbox) -> None:
    backend = run.backend
    assert isinstance(backend, BubblewrapBackend)
    counts = []
    for files in (10, 3000):
        await run(f"mkdir -p many; touch many/{{1..{files}}}")
        await checkpoint(run)
        await run("echo more >>file; mkdir -p new; for i in {1..5}; do echo $i >new/$i; done")
        await run.channel.pause()
        words = (str(backend._root.parent), run.ref.id, f"counted-{files}")
        counts.append(await asyncio.to_thread(count, COUNTED, *words, cwd=CHECKOUT))
        await run.channel.wake()
    assert layers_below(run) == 4
    assert abs(counts[1] - counts[0]) < 1000, counts
