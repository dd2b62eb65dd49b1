"""A host that is killed at any moment of a start leaves no process and no control group after the lease."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agent_kernel.sandboxes.bubblewrap import cgroups
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.forked import Forked

pytestmark = pytest.mark.bubblewrap

HOST = """
import asyncio, json, os, signal, socket, sys
from pathlib import Path
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.bubblewrap import cgroups, process, start
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.prepared.parent import Forking
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.sockets import reachable

folder, toolbox, name, kind, stage = sys.argv[1:]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def greet_and_die(folder, listening):
    first = json.loads((folder / "process.json").read_text())["pid"]
    with socket.socket(socket.AF_UNIX) as connected, reachable(folder) as short:
        os.kill(first, signal.SIGSTOP)  # it reads the greeting when nobody waits for its own
        connected.connect(f"{short}/socket")
        connected.sendall(wire.hello([]))
    os.kill(first, signal.SIGCONT)
    die()

def after(owner, name):
    real = getattr(owner, name)
    setattr(owner, name, lambda *arguments, **more: die(real(*arguments, **more)))

async def main():
    backend = BubblewrapBackend(Path(folder), Toolbox(Path(toolbox)), eager=kind == "forked")
    spec = SandboxSpec(name, lease=0.3)
    if stage == "after its group is named":
        after(start, "_named_group")
    elif stage == "before its files are there":
        start.SandboxStart._fill = die
    elif stage == "after its group is made":
        after(cgroups.Group, "make")
    elif stage == "after its process is there":
        after(process, "_child_pid")
        Forking._lead = die
    elif stage == "after it is placed":
        after(start._Parts, "place")
    elif stage == "before it is greeted":
        start.speaks = die
    elif stage == "before it answers":
        start.speaks = greet_and_die
    elif stage == "while another one is made":
        await backend.create(spec)
        start.speaks = die
        spec = SandboxSpec(name + "2", lease=0.3)
    ref = await backend.create(spec)
    channel = await Channel.open(await backend.stream(ref))
    async for _ in channel.run("echo; sleep 600"):
        die()

asyncio.run(main())
"""
LOST = 255
"""The exit code where the fork server did not learn it, which happens beside much other work."""
STAGES = (
    "after its group is named",
    "before its files are there",
    "after its group is made",
    "after its process is there",
    "after it is placed",
    "before it is greeted",
    "before it answers",
    "while another one is made",
    "in a command",
)


@pytest.mark.parametrize("kind", ["forked", "by bwrap"])
async def test_killed_host_leaves_nothing(
    kind: str, tmp_path: Path, data_dir: Path, bubblewrap_backend: BubblewrapBackend
) -> None:
    async with asyncio.TaskGroup() as hosts:
        for number, stage in enumerate(STAGES):
            folder = tmp_path / str(number)
            folder.mkdir()
            (folder / "boxd").symlink_to(data_dir / "boxd")  # compiled already
            hosts.create_task(asyncio.to_thread(kill_host, folder, data_dir, kind, stage))


def kill_host(folder: Path, data_dir: Path, kind: str, stage: str) -> None:
    """Run a host that is killed at a stage of its start, and wait for the end of all that it started."""
    name = f"killed{secrets.token_hex(4)}"
    host = Forked("-c", HOST, str(folder), str(data_dir), name, kind, stage, environment=dict(os.environ))
    assert host.wait() in (-signal.SIGKILL, LOST), stage
    with contextlib.ExitStack() as opened:
        for pidfd in started_in(folder):
            opened.callback(os.close, pidfd)
            assert select.select([pidfd], [], [], 60)[0], stage
    assert groups_of(name) == [], stage


def started_in(folder: Path) -> Iterator[int]:
    """Yield descriptors of the shells and bwraps that know a folder, and of all processes below them."""
    found = [each for each in psutil.process_iter() if str(folder) in " ".join(words(each))]
    for each in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [below for below in each.children() if below not in found]
        with contextlib.suppress(ProcessLookupError):
            yield os.pidfd_open(each.pid)


def words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []


def groups_of(name: str) -> list[str]:
    parents = {Path(folder).parent for folder in cgroups.named(name).folders.values()}
    return [str(group) for parent in parents for group in parent.glob(f"agent-kernel-{name}*")]
