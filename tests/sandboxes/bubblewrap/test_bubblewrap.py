"""What only bubblewrap has: host folders, host processes, and a start that fails."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import platform
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from agent_kernel.errors import EngineUnavailable, ImageMissing, SandboxGone, SandboxStartFailed
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.bubblewrap import folder as sandbox_folder
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.seccomp import ARCHITECTURES, REFUSED, program
from agent_kernel.sandboxes.channel import Channel, Exited, Output
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.conftest import Missing

pytestmark = pytest.mark.bubblewrap


@pytest.fixture
async def channel(bubblewrap_backend: BubblewrapBackend) -> AsyncIterator[Channel]:
    ref = await bubblewrap_backend.create(SandboxSpec("one"))
    channel = await Channel.open(await bubblewrap_backend.stream(ref))
    yield channel
    await channel.aclose()
    await bubblewrap_backend.delete(ref)


async def output(channel: Channel, command: str) -> str:
    printed = b""
    async for event in channel.run(command, timeout=120):
        if isinstance(event, Output):
            printed += event.data
        else:
            assert event == Exited(0), printed
    return printed.decode()


async def test_the_host_is_out_of_reach(channel: Channel, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the host's own")
    readable = f"cat {tmp_path}/secret {Path(__file__)} {Path.home()}/.profile /etc/shadow /etc/hostname"
    assert await output(channel, f"{readable} 2>/dev/null; true") == ""
    assert await output(channel, "ls -A /home /var /srv /boot /sys /tmp /run 2>/dev/null; true") == (
        "/home:\nagent\n\n/run:\nboxd\n\n/sys:\nfs\n\n/tmp:\n\n/var:\nlib\n"
    )
    here = os.getpid()
    assert (
        await output(channel, f"ls -d /proc/{here} 2>/dev/null; kill -0 {here} 2>/dev/null || echo none")
        == "none\n"
    )


async def test_no_environment_of_the_host_gets_in(
    bubblewrap_backend: BubblewrapBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    ref = await bubblewrap_backend.create(SandboxSpec("secrets"))
    channel = await Channel.open(await bubblewrap_backend.stream(ref))
    seen = await output(channel, "env; tr '\\0' '\\n' </proc/1/environ; tr '\\0' '\\n' </proc/1/cmdline")
    assert "PATH=" in seen
    assert "sk-secret" not in seen
    await channel.aclose()
    await bubblewrap_backend.delete(ref)


async def test_process_1_holds_nothing_of_the_host_open(channel: Channel) -> None:
    seen = await output(channel, "readlink /proc/1/fd/*; true")
    allowed = ("/dev/null", "anon_inode:", "pipe:", "socket:", "/run/boxd/", "/proc/1/fd")
    assert [line for line in seen.splitlines() if not line.startswith(allowed)] == []


async def test_the_system_is_read_only(channel: Channel) -> None:
    folders = "/ /usr /etc /opt/toolbox /opt/agent-kernel /bin"
    script = f"for d in {folders}; do touch $d/x 2>/dev/null && echo $d; done; true"
    assert await output(channel, script) == ""


async def test_user_namespaces_cannot_nest(channel: Channel) -> None:
    assert await output(channel, "unshare -U true 2>/dev/null && echo nested; true") == ""


async def test_system_calls_that_reach_the_kernel_as_a_whole_are_refused(channel: Channel) -> None:
    column = ARCHITECTURES[platform.machine()][0]
    numbers = [number for row in REFUSED.values() if (number := row[column]) is not None]
    code = (
        "import ctypes\n"
        "call = ctypes.CDLL(None, use_errno=True).syscall\n"
        f"print([n for n in {numbers} if (call(n, 0, 0, 0, 0, 0, 0), ctypes.get_errno()) != (-1, 1)])\n"
    )
    assert (
        await output(channel, f"grep ^Seccomp: /proc/self/status; python3 - <<'E'\n{code}E")
        == "Seccomp:\t2\n[]\n"
    )


def test_an_unknown_machine_gets_no_sandbox_without_a_filter() -> None:
    with pytest.raises(EngineUnavailable, match="vax"):
        program("vax")
    assert len(program("x86_64")) % 8 == len(program("aarch64")) % 8 == 0


async def test_nothing_outlives_a_lease_but_the_folder(bubblewrap_backend: BubblewrapBackend) -> None:
    name = f"leased{secrets.token_hex(4)}"  # a killed run may have left groups
    ref = await bubblewrap_backend.create(SandboxSpec(name, lease=0.2))
    channel = await Channel.open(await bubblewrap_backend.stream(ref))
    groups = [group for group in await asyncio.to_thread(_groups) if f"-{name}-" in group]
    assert bool(groups) == bubblewrap_backend.capabilities().memory_limit
    await channel.aclose()
    async with asyncio.timeout(60):
        while set(groups) & set(await asyncio.to_thread(_groups)):  # noqa: ASYNC110 (nobody is there to tell)
            await asyncio.sleep(0.05)
    assert (await bubblewrap_backend.get(name)).status == "dead"
    await bubblewrap_backend.delete(ref)


async def test_a_second_sandbox_of_the_same_id_harms_nothing(
    bubblewrap_backend: BubblewrapBackend, channel: Channel
) -> None:
    with pytest.raises(SandboxStartFailed, match="already"):
        await bubblewrap_backend.create(SandboxSpec("one"))
    assert await output(channel, "echo on") == "on\n"


async def test_a_cancelled_start_leaves_nothing(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> None:
    task = asyncio.create_task(bubblewrap_backend.create(SandboxSpec("cut")))
    while not (tmp_path / "sandboxes" / "cut").exists():  # noqa: ASYNC110 (the folder is made in a thread)
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list((tmp_path / "sandboxes").iterdir()) == []
    assert not [group for group in await asyncio.to_thread(_groups) if "-cut-" in group]


def test_what_is_written_down_of_a_sandbox_is_never_half_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, write = tmp_path / "spec.json", Path.write_text
    sandbox_folder.note(note, {"labels": {"a": "1"}})

    def cut_off(path: Path, text: str) -> None:
        write(path, text[:5])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", cut_off)
    with pytest.raises(KeyboardInterrupt):
        sandbox_folder.note(note, {"labels": {}})
    assert json.loads(note.read_text()) == {"labels": {"a": "1"}}


async def test_limits_of_open_files_and_core_dumps(channel: Channel) -> None:
    assert await output(channel, "ulimit -n; ulimit -c") == "4096\n0\n"


async def test_a_killed_sandbox_is_gone_and_swept(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> None:
    ref = await bubblewrap_backend.create(SandboxSpec("killed"))
    channel = await Channel.open(await bubblewrap_backend.stream(ref))
    pid = int((tmp_path / "sandboxes/killed/process.json").read_text().split('"pid": ')[1].split(",")[0])
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(SandboxGone):
        await output(channel, "sleep 10")
    assert [(found.id, found.status) for found in await bubblewrap_backend.list()] == [("killed", "dead")]
    await bubblewrap_backend.delete(ref)
    assert await bubblewrap_backend.list() == []
    assert list((tmp_path / "sandboxes").iterdir()) == []


async def test_it_outlives_the_host_that_made_it(
    bubblewrap_backend: BubblewrapBackend, toolbox: Toolbox, data_dir: Path, tmp_path: Path
) -> None:
    program = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from agent_kernel.sandboxes.base import SandboxSpec\n"
        "from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend\n"
        "from agent_kernel.sandboxes.channel import Channel\n"
        "from agent_kernel.sandboxes.toolbox import Toolbox\n"
        "async def main():\n"
        "    backend = BubblewrapBackend(Path(sys.argv[1]), Toolbox(Path(sys.argv[2])))\n"
        "    ref = await backend.create(SandboxSpec('left', lease=20))\n"
        "    channel = await Channel.open(await backend.stream(ref))\n"
        "    async for _ in channel.run('KEPT=1; echo'):\n"
        "        pass\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, str(tmp_path), str(data_dir)],
        check=False,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    ref = await bubblewrap_backend.get("left")
    assert ref.status == "running"
    channel = await Channel.open(await bubblewrap_backend.stream(ref))
    assert await output(channel, "echo $KEPT") == "1\n"
    await channel.aclose()
    await bubblewrap_backend.delete(ref)


@pytest.mark.parametrize("deleted", [False, True])
async def test_killed_host_leaves_nothing_after_lease_or_deletion(
    data_dir: Path, tmp_path: Path, deleted: bool
) -> None:
    program = (
        "import asyncio, os, sys, time\n"
        "from pathlib import Path\n"
        "from agent_kernel.sandboxes.bubblewrap import process as bubblewrap_process\n"
        "from agent_kernel.sandboxes.base import SandboxSpec\n"
        "from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend\n"
        "from agent_kernel.sandboxes.toolbox import Toolbox\n"
        "bubblewrap_process._child_pid = lambda info: os.kill(os.getpid(), 9)\n"
        "backend = BubblewrapBackend(Path(sys.argv[1]), Toolbox(Path(sys.argv[2])))\n"
        "asyncio.run(backend.create(SandboxSpec('cut', lease=float(sys.argv[3]))))\n"
    )
    lease = "300" if deleted else "0.5"
    words = [sys.executable, "-c", program, str(tmp_path), str(data_dir), lease]
    done = await asyncio.to_thread(subprocess.run, words, check=False)
    assert done.returncode == -signal.SIGKILL
    if deleted:
        await asyncio.to_thread(_wait_for_boxd, str(tmp_path / "sandboxes/cut/files/workspace"))
        backend = BubblewrapBackend(tmp_path, Toolbox(data_dir))
        await backend.delete(await backend.get("cut"))
        assert not (tmp_path / "sandboxes/cut").exists()

    def left() -> list[str]:
        commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
        return [" ".join(command) for command in commands if str(tmp_path) in " ".join(command)]

    async with asyncio.timeout(60):
        while await asyncio.to_thread(left):  # noqa: ASYNC110 (nobody is there to tell)
            await asyncio.sleep(0.05)


async def test_no_toolbox_is_said_with_its_mend(tmp_path: Path) -> None:
    backend = BubblewrapBackend(tmp_path, Toolbox(tmp_path))
    probe = await backend.probe()
    assert not probe.ok
    assert "agent-kernel image build" in (probe.hint or "")
    with pytest.raises(ImageMissing, match="image build"):
        await backend.create(SandboxSpec("none"))
    assert await backend.list() == []


async def test_no_bwrap_is_said_with_its_mend(tmp_path: Path, toolbox: Toolbox) -> None:
    backend = BubblewrapBackend(tmp_path, toolbox, bwrap=str(tmp_path / "bwrap"))
    probe = await backend.probe()
    assert not probe.ok
    assert "apt-get install bubblewrap" in (probe.hint or "")
    with pytest.raises((EngineUnavailable, SandboxStartFailed)):
        await backend.create(SandboxSpec("none"))
    assert not (tmp_path / "sandboxes/none").exists()


async def test_a_failing_start_says_why_and_leaves_nothing(tmp_path: Path, toolbox: Toolbox) -> None:
    bwrap = tmp_path / "bwrap"
    bwrap.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    bwrap.chmod(0o755)
    backend = BubblewrapBackend(tmp_path, toolbox, bwrap=str(bwrap))
    assert "uid map" in (await backend.probe()).detail
    with pytest.raises(SandboxStartFailed, match="uid map"):
        await backend.create(SandboxSpec("none"))
    assert not (tmp_path / "sandboxes/none").exists()


async def test_boxd_that_cannot_start_says_why_and_leaves_nothing(tmp_path: Path, toolbox: Toolbox) -> None:
    class Broken(Toolbox):
        def binds(self) -> list[tuple[str, str]]:
            return []

    backend = BubblewrapBackend(tmp_path, Broken(toolbox.path.parent.parent))
    with pytest.raises(SandboxStartFailed, match="python3"):
        await backend.create(SandboxSpec("none"))
    assert not (tmp_path / "sandboxes/none").exists()


async def test_an_id_is_no_path(bubblewrap_backend: BubblewrapBackend) -> None:
    with pytest.raises(SandboxGone):
        await bubblewrap_backend.get("../one")


def _wait_for_boxd(bound: str) -> None:
    """Until the bwrap that binds this folder has started what it was to start."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if bound in words and words[0].endswith("bwrap"):
                children = [child.cmdline() for child in process.children()]
                if any(child and child[0].endswith("python3") for child in children):
                    return
        time.sleep(0.02)
    raise AssertionError("boxd did not start")


def _groups() -> list[str]:
    return [path for path, _, _ in os.walk("/sys/fs/cgroup") if "agent-kernel-" in path]


async def test_virtual_environment_has_its_own_packages(channel: Channel) -> None:
    await output(
        channel,
        "mkdir ~/packages; echo 'at_home = 1' > ~/packages/mine.py; python3 -m venv --without-pip env",
    )
    ask = "import os, sys; print('PIP_TARGET' in os.environ, '/home/agent/packages' in sys.path)"
    assert await output(channel, f'python3 -c "{ask}; import mine"') == "True True\n"
    assert await output(channel, f'env/bin/python -c "{ask}"') == "False False\n"
    assert "No module named 'mine'" in await output(channel, "env/bin/python -c 'import mine' 2>&1 || true")


async def test_pip_is_that_of_the_toolbox(channel: Channel, missing: Missing) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        missing("Python's pip is missing: apt-get install python3-venv")
    for command in ("pip3", "python3 -m pip"):
        assert (await output(channel, f"{command} --version")).startswith("pip ")
    where = "pip config debug | grep PIP_TARGET; env | grep TMPDIR || echo no TMPDIR"
    assert (await output(channel, where)).split() == ["PIP_TARGET='/home/agent/packages'", "no", "TMPDIR"]


@pytest.mark.slow
async def test_pip_in_an_environment_is_that_of_the_environment(channel: Channel, missing: Missing) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        missing("Python's pip is missing: apt-get install python3-venv")
    made = "python3 -m venv env && . env/bin/activate && pip --version && python3 -m pip --version"
    assert (await output(channel, made)).count(" from /mnt/data/env/lib/") == 2
