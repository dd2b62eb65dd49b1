"""Going back in place: the files of a checkpoint under a running sandbox, which then begins anew."""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from agent_kernel.errors import SandboxFileError, SandboxGone
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.folder import find_process
from agent_kernel.sandboxes.bubblewrap.layers import sandbox as layers_sandbox
from agent_kernel.sandboxes.bubblewrap.layers.namespaces import Entrance, LayersUnavailable
from agent_kernel.sandboxes.bubblewrap.layers.sandbox import read_lowers
from agent_kernel.sandboxes.bubblewrap.layers.store import lock
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.optional import RestoresInPlace, Snapshot
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.tools.code_interpreter.session import CodeCell, run_cell
from tests.conftest import CHECKOUT, Missing
from tests.sandboxes.bubblewrap.system_calls import count
from tests.sandboxes.inside import Sandbox, checkpoint, started

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOUND = 'echo "$PWD $X"; f; cat /mnt/data/file; ls -A /mnt/data ~/kept /tmp /dev/shm; ls -A /run'
FIRST = (
    "/mnt/data/sub one\nf1\none\n"
    "/dev/shm:\n\n/home/agent/kept:\nmine\n\n/mnt/data:\nfile\nsub\n\n/tmp:\nboxd\n"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(
    toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory, missing: Missing
) -> AsyncIterator[BubblewrapBackend]:
    backend = BubblewrapBackend(tmp_path_factory.mktemp("in-place"), toolbox)
    if "(overlay)" not in (await backend.probe()).detail:
        missing("This machine puts no overlay under a sandbox.")
    assert isinstance(backend, RestoresInPlace)
    yield backend
    await backend.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def run(backend: BubblewrapBackend) -> AsyncIterator[Sandbox]:
    async with started(backend) as sandbox:
        await sandbox("mkdir sub ~/kept; echo one >file; touch ~/kept/mine; X=one; f() { echo f1; }; cd sub")
        yield sandbox
    for snapshot in await backend.snapshots():
        await backend.remove_snapshot(snapshot.id)
    data = backend._root.parent
    assert [*data.glob("layers/*"), *data.glob("snapshots/*"), *data.glob("sandboxes/*")] == []


def folder_of(run: Sandbox) -> Path:
    assert isinstance(run.backend, BubblewrapBackend)
    return run.backend._folder(run.ref.id)


async def put_back(run: Sandbox, snapshot: Snapshot) -> bool:
    """Put a checkpoint under a sandbox, which has not begun anew then."""
    assert isinstance(run.backend, RestoresInPlace)
    assert await run.channel.pause(idle=True, leaves=True)
    return await run.backend.put_back(run.ref, snapshot.id)


async def back(run: Sandbox, snapshot: Snapshot) -> None:
    assert await put_back(run, snapshot)
    await run.channel.renew()


async def test_everything_is_as_at_the_checkpoint(run: Sandbox) -> None:
    first = await checkpoint(run)
    await run("echo two >../file; touch ../new ~/kept/theirs; rmdir ../sub; X=two; f() { echo f2; }; cd /")
    await run("mkdir -p /tmp/deep/$(printf 'a/%.0s' {1..900}) /run/mine; touch /dev/shm/x /run/x /tmp/.x")
    await run("alias ls=false; trap 'echo trapped' EXIT; set -u; umask 077; export PATH=/nowhere")
    await run("(exec -a lasting /usr/bin/sleep 1000 3>>/mnt/data/new) </dev/null >/dev/null 2>&1 &")
    assert (await run("/usr/bin/pgrep -cf lasting")).stdout == b"1\n"
    second = await checkpoint(run)
    process = find_process(folder_of(run))
    for _ in range(2):
        await back(run, first)
        assert (await run(FOUND)).stdout.decode() == FIRST
        assert (await run("pgrep -cf lasting; umask; echo ${UNSET-}")).stdout == b"0\n0022\n\n"
        await back(run, second)
        assert (
            await run("/bin/cat /mnt/data/file; echo $X $PWD; f; umask")
        ).stdout == b"two\ntwo /\nf2\n0077\n"
    assert find_process(folder_of(run)) == process, "it is the same sandbox"
    await back(run, first)
    await run("echo more >more")
    third = await checkpoint(run)
    assert len(read_lowers(folder_of(run)) or ()) == 2
    async with started(run.backend, snapshot=third.id) as fork:
        assert (await fork("ls -A . ..; cat ../file")).stdout == b".:\nmore\n\n..:\nfile\nsub\none\n"


async def test_programs_end_and_hosts_stay_attached(run: Sandbox) -> None:
    await run_cell(run.channel, CodeCell("one", "x = 1", 60, 2000))
    other = await Channel.open(await run.backend.stream(run.ref))
    first = await checkpoint(run)
    await back(run, first)
    async with other.running_program("python") as found:
        assert found == "absent"
    await other.aclose()
    async with run.channel.running_program("python") as found:
        assert found == "absent"
    assert (await run("cat ../file")).stdout == b"one\n"
    for name in ("same", "same2"):
        async for _ in run.channel.run("true", name=name):
            pass
    await back(run, first)
    async for _ in run.channel.run("true", name="same"):  # earlier commands are forgotten
        pass


async def test_after_a_lost_host_it_begins_anew_by_itself(run: Sandbox) -> None:
    first = await checkpoint(run)
    await run("echo two >../file; X=two; touch /tmp/left; sleep 1000 &")
    assert await put_back(run, first)
    await run.channel.aclose()
    run.channel = await Channel.open(await run.backend.stream(run.ref))
    assert (await run("cat ../file; echo $X; ls /tmp; pgrep sleep")).stdout == b"one\none\n"
    await run.channel.renew()
    assert (await run("cat ../file; echo $X")).stdout == b"one\none\n"


@pytest.mark.parametrize("fails", ["mount", "helper", "old"])
async def test_what_cannot_be_done_changes_nothing(
    run: Sandbox, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    first = await checkpoint(run)
    await run("echo two >../file; X=two; sleep 1000 & echo $! >/tmp/pid")

    def unable(*_: object, **__: object) -> None:
        raise LayersUnavailable("not in this test")

    if fails == "helper":
        monkeypatch.setattr(Entrance, "put", unable)
    elif fails == "mount":
        monkeypatch.setattr(layers_sandbox, "TARGETS", {"workspace": "/nowhere"})
    else:
        assert isinstance(run.backend, BubblewrapBackend)
        monkeypatch.setattr(run.backend._snapshots, "layered", False)
    assert not await put_back(run, first)
    await run.channel.renew()
    assert (
        await run("cat ../file; echo $X; kill $(cat /tmp/pid) && echo alive")
    ).stdout == b"two\ntwo\nalive\n"
    assert not (folder_of(run) / "swap.json").exists()


async def test_a_missing_checkpoint_changes_nothing(run: Sandbox) -> None:
    assert isinstance(run.backend, RestoresInPlace)
    assert await run.channel.pause(idle=True, leaves=True)
    with pytest.raises(SandboxGone, match="no checkpoint"):
        await run.backend.put_back(run.ref, "snap_missing")
    assert (await run("cat ../file; echo $X")).stdout == b"one\none\n"


async def test_shared_memory_that_outlives_processes_is_told(run: Sandbox) -> None:
    first = await checkpoint(run)
    made = "import ctypes; assert ctypes.CDLL(None).shmget(7, 4096, 0o1600) >= 0"
    if (await run(f"python3 -c '{made}'")).code:
        assert ctypes.CDLL(None).shmget(7, 4096, 0o1600) >= 0, "only the sandbox refuses it"
        return
    assert await put_back(run, first)
    with pytest.raises(SandboxFileError, match="shared memory"):
        await run.channel.renew()


QUEUE = """
import ctypes, sys
name, flags = sys.argv[1].encode(), int(sys.argv[2], 8)
sys.exit(ctypes.CDLL(None).mq_open(name, flags, 0o600, None) < 0)
"""


async def test_message_queues_end_with_their_processes(run: Sandbox) -> None:
    first = await checkpoint(run)
    assert (await run(f"python3 -c '{QUEUE}' /mine 102")).code == 0
    assert (await run(f"python3 -c '{QUEUE}' /mine 2")).code == 0, "it outlives the process that made it"
    assert await put_back(run, first)
    await run.channel.renew()
    assert (await run(f"python3 -c '{QUEUE}' /mine 2")).code == 1


BACK = """
import asyncio, os, signal, sys
from pathlib import Path
from agent_kernel.sandboxes.base import SandboxRef
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.layers import sandbox, namespaces
from agent_kernel.sandboxes.toolbox import Toolbox
data, id, name, moment = sys.argv[1:]
def cut(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if moment == "asked":
    namespaces._check_answer = cut
elif moment == "noted":
    namespaces.Entrance.put = cut
elif moment:
    name_of = {"mounted": "_complete", "moved": "_finished"}[moment]
    setattr(sandbox.SandboxLayers, name_of, cut)
backend = BubblewrapBackend(Path(data), Toolbox(Path(data)))
assert asyncio.run(backend.put_back(SandboxRef(id, "bubblewrap", "running"), name))
"""


async def test_full_workspace_takes_no_more_system_calls(run: Sandbox) -> None:
    counts = []
    for files in (10, 3000):
        await run(f"mkdir -p many; touch many/{{1..{files}}}; echo one >../file")
        snapshot = await checkpoint(run)
        await run("echo changed >../file; rm -r many")
        await checkpoint(run)
        assert await run.channel.pause(idle=True, leaves=True)
        words = (str(folder_of(run).parents[1]), run.ref.id, snapshot.id, "")
        counts.append(await asyncio.to_thread(count, BACK, *words, cwd=CHECKOUT))
        await run.channel.renew()
        assert (await run("cat ../file; ls many | wc -l")).stdout == f"one\n{files}\n".encode()
    assert abs(counts[1] - counts[0]) < 1000, counts


@pytest.mark.parametrize(
    ("moment", "dies"),
    [
        ("asked", False),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in itertools.product(("noted", "asked", "mounted", "moved"), (False, True))
            if case != ("asked", False)
        ),
    ],
)
async def test_killed_at_any_moment_it_is_before_or_after(run: Sandbox, moment: str, dies: bool) -> None:
    first = await checkpoint(run)
    await run("echo two >../file; X=two")
    assert await run.channel.pause(idle=True, leaves=True)
    words = [sys.executable, "-c", BACK, str(folder_of(run).parents[1]), run.ref.id, first.id, moment]
    done = await asyncio.to_thread(subprocess.run, words, cwd=CHECKOUT, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    with lock(folder_of(run)):  # the helper is done
        pass
    if dies:
        process = find_process(folder_of(run))
        assert process is not None
        await asyncio.to_thread(process.end)
        assert isinstance(run.backend, BubblewrapBackend)
        kept = await run.backend.checkpoint(run.ref, "of-the-dead", {})
        async with started(run.backend, snapshot=kept.id) as fork:
            found = b"one\n" if moment == "moved" else b"two\n"
            assert (await fork("cat /mnt/data/file")).stdout == found
        return
    found = b"two\n" if moment == "noted" else b"one\n"
    assert (await run("cat ../file; echo $X")).stdout == 2 * found
    await run("echo more >>../file")
    second = await checkpoint(run)
    async with started(run.backend, snapshot=second.id) as fork:
        assert (await fork("cat ../file")).stdout == found + b"more\n"
