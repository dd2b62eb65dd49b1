"""Sandboxes that are forks of a prepared parent: the same from inside, alone, and independent of both."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent_kernel.errors import IsolationUnavailable
from agent_kernel.sandboxes import memory_files
from agent_kernel.sandboxes.base import SandboxRef, SandboxSpec
from agent_kernel.sandboxes.bubblewrap import cgroups
from agent_kernel.sandboxes.bubblewrap import start as bubblewrap_start
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.folder import find_process
from agent_kernel.sandboxes.bubblewrap.prepared import forking, parent
from agent_kernel.sandboxes.channel import Channel, Output
from agent_kernel.sandboxes.network import Network
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.sandboxes.posture import LOOK

pytestmark = pytest.mark.bubblewrap

SEEN = rf"""
cat > look.py <<'LOOK'
{LOOK}
LOOK
python3 look.py
rm look.py
env | sort; ulimit -a; umask; id; hostname; pwd
grep -E 'Cap|Seccomp|NoNew|Uid|Gid|Groups|Sig' /proc/self/status
grep -E 'Cap|Seccomp|NoNew|Uid|Gid|Groups|Threads' /proc/1/status
cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups /proc/net/dev
ls /dev /dev/pts /proc/1/fd / /etc /opt /mnt /home
readlink /dev/* /proc/1/cwd
cut -d' ' -f5- /proc/self/mountinfo | grep -v ' mqueue ' | tac | sort -u -k1,1
python3 -c 'import os, pty; pty.spawn(["sh", "-c", "tty; ls -l $(tty) | cut -c1-25"])'
"""
"""What a sandbox can see. bwrap mounts some devices and files twice, one over the other: the upper counts."""


async def opened(backend: BubblewrapBackend, name: str, **spec: Any) -> tuple[SandboxRef, Channel]:
    ref = await backend.create(SandboxSpec(name, **spec))
    return ref, await Channel.open(await backend.stream(ref))


async def output(channel: Channel, command: str) -> str:
    printed = ""
    async for event in channel.run(command):
        if isinstance(event, Output):
            printed += event.data.decode()
    return printed


def process(folder: Path, name: str) -> psutil.Process:
    found = find_process(folder / "sandboxes" / name)
    assert found is not None
    return psutil.Process(found.pid)


def is_fork(first: psutil.Process) -> bool:
    """Whether the command line of process 1 is its parent's."""
    return "/host/boxd" in first.cmdline()


async def test_all_but_the_first_are_forks_of_one_parent(tmp_path: Path, toolbox: Toolbox) -> None:
    backend = BubblewrapBackend(tmp_path, toolbox)
    refs = [await backend.create(SandboxSpec(name)) for name in ("a", "b", "c")]
    first, *others = (process(tmp_path, ref.id) for ref in refs)
    assert not is_fork(first)
    assert all(map(is_fork, others))
    assert len({each.ppid() for each in others}) == 1
    for ref in refs[1:]:
        channel = await Channel.open(await backend.stream(ref))
        assert await output(channel, "echo here") == "here\n"  # so its shell has become bash
        await channel.aclose()
    programs = [each.name() for other in others for each in other.children(recursive=True)]
    assert set(programs) <= {"bash"}
    await asyncio.gather(*map(backend.delete, refs))
    await backend.aclose()


@pytest.mark.parametrize("network", [None, Network()])
async def test_fork_looks_as_what_bwrap_makes(
    network: Network | None, tmp_path: Path, toolbox: Toolbox
) -> None:
    backend = BubblewrapBackend(tmp_path, toolbox)
    seen = []
    for name in ("a", "b"):
        ref, channel = await opened(backend, name, network=network)
        assert is_fork(process(tmp_path, name)) == (name == "b")
        seen.append(normal(await output(channel, SEEN), name))
        await channel.aclose()
        await backend.delete(ref)
    await backend.aclose()
    assert seen[1] == seen[0]


def normal(text: str, name: str) -> list[str]:
    """Leave out what differs between any two sandboxes, and the command line of process 1."""
    found = []
    for line in text.splitlines():
        if line.startswith("{"):
            look = json.loads(line)
            assert "boxd" in look.pop("first process")
            for differing in ("namespaces", "mounts", "processes"):
                look.pop(differing)
            line = json.dumps(look, sort_keys=True)
        if line.isdigit() or line == "skills":
            continue  # the number of a descriptor, and the place for skills, which a fork always has
        # A fork has "noexec" on more of the kernel's files.
        found.append(line.replace(",noexec", "").replace(f"/sandboxes/{name}/", "/sandboxes/ID/"))
    return sorted(set(found))


async def test_forks_share_nothing_that_can_be_changed(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> None:
    one, first = await opened(bubblewrap_backend, "one")
    two, second = await opened(bubblewrap_backend, "two")
    assert is_fork(process(tmp_path, "two"))
    change = (
        "for folder in /tmp /run /dev/shm /mnt/data ~ /dev/mqueue; do touch $folder/left; done;"
        "chmod 0 /dev/null /dev/random 2>/dev/null; ipcmk -Q >/dev/null; true"
    )
    await output(first, change)
    look = (
        "ls -A /tmp /dev/shm /dev/mqueue /mnt/data; ls ~/left /run/left 2>/dev/null;"
        "stat -c %a /dev/null /dev/random; ipcs -q | grep -c 0x"
    )
    assert (await output(second, look)).split() == [
        *("/dev/mqueue:", "/dev/shm:", "/mnt/data:", "/tmp:"),
        *("666", "666", "0"),
    ]
    for ref, channel in ((one, first), (two, second)):
        await channel.aclose()
        await bubblewrap_backend.delete(ref)


HOSTILE = """
ls -d /host /base /oldroot /newroot 2>&1 | grep -v 'No such file'
ls -d /../host /proc/1/root/host /proc/1/cwd/../../host /proc/self/root/host 2>&1 | grep -vE 'No such|denied'
cat /proc/1/environ /proc/1/maps /proc/1/mem /proc/1/map_files/* 2>&1 | grep -vE 'denied|No such|Input/output'
cat /proc/[0-9]*/mountinfo 2>/dev/null | grep -E ' /(host|base)'
unshare -Ur true && echo a user namespace
nsenter -t 1 -U true && echo entered
mount --bind /tmp /mnt && echo mounted
umount /proc && echo unmounted
(kill -STOP 1; kill -KILL 1; sleep 0.1) && echo alive
true
"""


async def test_fork_leaves_nothing_of_its_parent_to_commands(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> None:
    ref, channel = await opened(bubblewrap_backend, "hostile")
    assert is_fork(process(tmp_path, "hostile"))
    assert await output(channel, f"({HOSTILE}) 2>/dev/null") == "alive\n"
    await channel.aclose()
    await bubblewrap_backend.delete(ref)


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ({"memory": memory_files.sizes(1 << 28)}, "has no size"),
        ({"limits": {}}, "Max core file size|Max open files"),
    ],
)
async def test_fork_that_differs_from_its_spec_is_refused(
    what: dict[str, object], why: str, bubblewrap_backend: BubblewrapBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Less:
        targets = staticmethod(forking.targets)

        @staticmethod
        def request(*arguments: Any) -> dict[str, object]:
            return {**forking.request(*arguments), **what}

    monkeypatch.setattr(bubblewrap_start, "prepared", Less)
    with pytest.raises(IsolationUnavailable, match=why):
        await bubblewrap_backend.create(SandboxSpec("less"))
    assert await bubblewrap_backend.list() == []


async def test_fork_joins_its_control_groups_itself(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes up to 20 ms to move another process. `create` looks whether it is in all groups."""
    moved: list[int] = []
    add = cgroups.Group.add

    def adds(group: cgroups.Group, *pids: int) -> None:
        moved.extend(pids)
        add(group, *pids)

    monkeypatch.setattr(cgroups.Group, "add", adds)
    ref = await bubblewrap_backend.create(SandboxSpec("joins"))
    sandbox = process(tmp_path, "joins")
    assert is_fork(sandbox)
    assert moved == ([] if cgroups.named("any").is_v1() else [sandbox.pid])
    await bubblewrap_backend.delete(ref)


async def test_sandbox_whose_request_is_too_long_is_made_by_bwrap(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> None:
    spec = SandboxSpec("long", network=Network(variables=(("LONG", "v" * 70_000),)))
    ref = await bubblewrap_backend.create(spec)
    assert not is_fork(process(tmp_path, "long"))
    await bubblewrap_backend.delete(ref)


def test_process_that_has_the_number_of_a_fork_is_left_alone(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    begun: list[object] = []
    fork = parent.Fork({}, 0, lambda started: begun.append(started), None, lambda: True)  # type: ignore[arg-type,return-value]
    with ours, theirs, subprocess.Popen(["sleep", "600"]) as other:
        theirs.send(b"%d 1" % other.pid)
        with pytest.raises(parent.ParentUnavailable, match="ended"):
            parent.Forking(None, ours).led(fork)  # type: ignore[arg-type]
        assert other.poll() is None
        other.kill()
    assert not begun


async def test_parent_that_was_killed_is_replaced_and_its_sandboxes_live_on(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> None:
    one, first = await opened(bubblewrap_backend, "one")
    old = process(tmp_path, "one").parent()
    assert old is not None
    old.kill()
    old.wait(60)
    two, second = await opened(bubblewrap_backend, "two")  # by bwrap
    three, third = await opened(bubblewrap_backend, "three")
    assert [is_fork(process(tmp_path, name)) for name in ("two", "three")] == [False, True]
    for channel in (first, second, third):
        assert await output(channel, "echo here") == "here\n"
        await channel.aclose()
    await asyncio.gather(*map(bubblewrap_backend.delete, (one, two, three)))


async def test_machine_that_cannot_have_a_parent_has_sandboxes(tmp_path: Path, toolbox: Toolbox) -> None:
    bwrap = tmp_path / "bwrap"
    bwrap.write_text(
        '#!/bin/sh\ncase "$*" in */host/boxd*) echo x >>"$0.asked"; exit 1; esac\nexec /usr/bin/bwrap "$@"\n'
    )
    bwrap.chmod(0o755)
    backend = BubblewrapBackend(tmp_path, toolbox, bwrap=str(bwrap), eager=True)
    for number in range(parent.MOST_FAILURES + 1):
        ref, channel = await opened(backend, f"s{number}")
        assert await output(channel, "echo here") == "here\n"
        await channel.aclose()
        await backend.delete(ref)
    assert (tmp_path / "bwrap.asked").read_text().split() == ["x"] * parent.MOST_FAILURES
    await backend.aclose()


HOST = """
import asyncio, os, signal, sys
from pathlib import Path
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.prepared.parent import Forking
from agent_kernel.sandboxes.toolbox import Toolbox

folder, toolbox, when = sys.argv[1:]

def killed(*arguments):
    print(arguments[-1].pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    backend = BubblewrapBackend(Path(folder), Toolbox(Path(toolbox)), eager=True)
    if when == "before it runs":
        Forking._lead = killed
    await backend.create(SandboxSpec("left", lease=600))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def killed_host(folder: Path, data_dir: Path, when: str) -> str:
    """Run a host that makes the sandbox `left` and is killed; return what it printed."""
    words = [sys.executable, "-c", HOST, str(folder), str(data_dir), when]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    return done.stdout


def ended(pid: int) -> bool:
    """Wait for the end of a process that is not ours."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], 60)[0])
    finally:
        os.close(pidfd)


def gone(folders: Iterable[str]) -> None:
    """Wait until a shell has removed them, after the last process."""
    deadline = time.monotonic() + 60
    while any(map(os.path.exists, folders)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_fork_outlives_its_host_and_its_parent_clears_up(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path, data_dir: Path
) -> None:
    await asyncio.to_thread(killed_host, tmp_path, data_dir, "when it runs")
    ref = await bubblewrap_backend.get("left")
    channel = await Channel.open(await bubblewrap_backend.stream(ref))
    assert await output(channel, "echo here") == "here\n"
    await channel.aclose()
    first = process(tmp_path, "left")
    groups = json.loads((tmp_path / "sandboxes/left/group.json").read_text())
    assert is_fork(first)
    prepared = first.ppid()
    first.kill()
    assert await asyncio.to_thread(ended, prepared)  # it waited for its last sandbox
    await asyncio.to_thread(gone, groups.values())
    await bubblewrap_backend.delete(ref)


async def test_fork_whose_host_is_killed_before_it_runs_ends(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path, data_dir: Path
) -> None:
    pid = int(await asyncio.to_thread(killed_host, tmp_path, data_dir, "before it runs"))
    assert await asyncio.to_thread(ended, pid)
    ref = await bubblewrap_backend.get("left")
    assert ref.status == "dead"
    await bubblewrap_backend.delete(ref)
    assert list((tmp_path / "sandboxes").iterdir()) == []


async def test_many_at_once(bubblewrap_backend: BubblewrapBackend, tmp_path: Path) -> None:
    refs = await asyncio.gather(*(bubblewrap_backend.create(SandboxSpec(f"s{n}")) for n in range(8)))
    assert all(is_fork(process(tmp_path, ref.id)) for ref in refs)
    await asyncio.gather(*map(bubblewrap_backend.delete, refs))
    assert list((tmp_path / "sandboxes").iterdir()) == []


def test_parent_ends_with_its_host_when_it_has_no_sandbox(tmp_path: Path, toolbox: Toolbox) -> None:
    async def once() -> int:
        backend = BubblewrapBackend(tmp_path, toolbox, eager=True)
        ref = await backend.create(SandboxSpec("one"))
        prepared = process(tmp_path, "one").ppid()
        await backend.delete(ref)
        await backend.aclose()
        return prepared

    assert ended(asyncio.run(once()))
