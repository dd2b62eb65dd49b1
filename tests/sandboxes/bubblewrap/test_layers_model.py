"""Random changes, checkpoints and restores, compared with a folder that is copied each time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.layers import squashing
from agent_kernel.sandboxes.bubblewrap.layers.namespaces import Entrance, LayersUnavailable
from agent_kernel.sandboxes.bubblewrap.process import Started
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.sandboxes.inside import Sandbox, checkpoint, started

NAMES = ("a", "b", "c", "d")
SHOW = (
    r"find . -mindepth 1 -printf '%P %y %m %l\n' | sort; "
    r"find . -type f -print0 | sort -z | xargs -0r sha1sum"
)
KEPT = 6


def unavailable(*_: object, **__: object) -> None:
    raise LayersUnavailable("not in this test")


async def ran(words: list[str | Path], cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    return await asyncio.to_thread(subprocess.run, words, cwd=cwd, capture_output=True, check=False)


class Steps:
    """A sandbox and its model. `at` is a seeded source of everything that is random."""

    def __init__(self, backend: BubblewrapBackend, folder: Path, at: random.Random) -> None:
        self.backend = backend
        self.stack = contextlib.AsyncExitStack()
        self.sandbox: Sandbox
        self.at = at
        self.model = folder / "model"
        self.model.mkdir()
        self.copies = folder / "copies"
        self.copies.mkdir()
        self.snapshots: list[str] = []
        self.last = ""
        self.layered = 0
        self.in_place = 0

    async def begin(self, snapshot: str | None = None) -> None:
        self.sandbox = await self.stack.enter_async_context(started(self.backend, snapshot=snapshot))

    def path(self) -> str:
        return "/".join(self.at.choices(NAMES, k=self.at.randint(1, 3)))

    def change(self) -> str:
        """Return a command with the same effect in both."""
        path, other, number = self.path(), self.path(), self.at.randint(0, 999)
        lines: list[Callable[[], str]] = [
            lambda: f"[ -d {path} ] || echo {number} >{path}",
            lambda: f"[ -d {path} ] || echo {number} >>{path}",
            lambda: f"[ -f {path} ] && printf {number} | dd of={path} conv=notrunc bs=1 seek=1",
            lambda: f"mkdir -p {path}",
            lambda: f"mkdir -p {path}; echo {number} >{path}/{self.at.choice(NAMES)}",
            lambda: f"rm -rf {path}",
            lambda: f"rm -rf {path}; mkdir {path}; echo {number} >{path}/new",
            lambda: f"rm -rf {path}; echo {number} >{path}",
            lambda: f"case {other}/ in {path}/*) ;; *) mv -T {path} {other} ;; esac",
            lambda: f"[ -L {path} ] || chmod {self.at.choice(('700', '755', '711', '750'))} {path}",
            lambda: f"ln -sfn {other} {path}",
            lambda: f"[ -f {path} ] && [ ! -L {path} ] && truncate -s {number} {path}",
            lambda: f"[ -d {path} ] && [ ! -L {path} ] && cd {path}",
        ]
        return self.at.choice(lines)() + "\n"

    async def work(self) -> None:
        """Change several things."""
        lines = "".join(self.change() for _ in range(self.at.randint(1, 8)))
        script = f"set +e; cd /mnt/data\n{lines}true"
        self.last = script
        await self.sandbox(f"({script}) >/dev/null 2>&1 </dev/null; cd /mnt/data")
        folder = self.at.choice([".", *NAMES])  # the shell stays in it
        await self.sandbox(f"cd /mnt/data/{folder} 2>/dev/null || cd /mnt/data")
        model = script.replace("/mnt/data", str(self.model))
        await ran(["bash", "-c", model], cwd=self.model)

    async def keep(self) -> None:
        """Take a checkpoint, now and then while a file is open for writing."""
        busy = self.at.random() < 0.2
        if busy:
            await self.sandbox("exec 3>/mnt/data/open; echo 1 >&3; sleep 1000 & echo $! >/tmp/pid; exec 3>&-")
            (self.model / "open").write_text("1\n")
        kept = await checkpoint(self.sandbox)
        if busy:
            await self.sandbox("kill $(cat /tmp/pid); rm /mnt/data/open")
        self.layered = max(self.layered, len(kept.layers))
        await ran(["cp", "-a", self.model, self.copies / kept.id])
        if busy:
            (self.model / "open").unlink()
        self.snapshots.append(kept.id)
        while len(self.snapshots) > KEPT:
            gone = self.snapshots.pop(self.at.randrange(len(self.snapshots)))
            await self.backend.remove_snapshot(gone)
            shutil.rmtree(self.copies / gone)

    async def go_back(self) -> None:
        """Begin with a checkpoint again, in place or in a new sandbox."""
        if not self.snapshots:
            return
        chosen, sandbox = self.at.choice(self.snapshots), self.sandbox
        await sandbox.channel.pause(idle=True, leaves=True)
        if self.at.random() < 0.7 and await self.backend.put_back(sandbox.ref, chosen):
            await sandbox.channel.renew()
            self.in_place += 1
        else:
            await self.stack.aclose()
            await self.begin(chosen)
        shutil.rmtree(self.model)
        await ran(["cp", "-a", self.copies / chosen, self.model])

    async def compare(self) -> None:
        seen = await self.sandbox(f"cd /mnt/data; {SHOW}")
        assert seen.code == 0, seen
        model = await ran(["bash", "-c", SHOW], cwd=self.model)
        assert seen.stdout == model.stdout, self.last


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("seed", "steps"), [(1, 40), *(pytest.param(seed, 300, marks=pytest.mark.slow) for seed in (2, 3))]
)
async def test_checkpoints_hold_what_a_copy_holds(
    toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, steps: int
) -> None:
    monkeypatch.setattr(squashing, "RUN", 3)
    at = random.Random(seed)
    put = Entrance.put

    def sometimes(
        entrance: Entrance, process: Started, *rest: object, check: bool, left: bool = False
    ) -> None:
        if not check and at.random() < 0.2:
            raise LayersUnavailable("not this time")
        put(entrance, process, *rest, check=check, left=left)  # type: ignore[arg-type]

    monkeypatch.setattr(Entrance, "put", sometimes)
    backend = BubblewrapBackend(tmp_path / "data", toolbox)
    run = Steps(backend, tmp_path, at)
    await run.begin()
    try:
        for _ in range(steps):
            await at.choices((run.work, run.keep, run.go_back), weights=(6, 4, 1))[0]()
            await run.compare()
    finally:
        await run.stack.aclose()
    assert run.layered > 1
    assert run.in_place
    for name in run.snapshots:
        await backend.remove_snapshot(name)
    await backend.aclose()
    left = await asyncio.to_thread(lambda: [*(tmp_path / "data").glob("[ls]*/*")])
    assert left == []
