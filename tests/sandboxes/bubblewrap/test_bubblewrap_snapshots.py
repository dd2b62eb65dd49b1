"""Checkpoints in folders: there when they are whole, and no part of one is left by a host that was killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from agent_kernel.errors import SandboxError, SandboxGone
from agent_kernel.sandboxes.bubblewrap.folder import SPEC, remove_folder
from agent_kernel.sandboxes.bubblewrap.snapshots import PARTS, SnapshotFolders

FILES = 300

HOST = """
import os, signal, sys
from pathlib import Path
from agent_kernel.sandboxes.bubblewrap import copying
from agent_kernel.sandboxes.bubblewrap.snapshots import SnapshotFolders
copying._copy_content = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
SnapshotFolders(Path(sys.argv[1]), "x").take(Path(sys.argv[2]), "cut", {})
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for part in PARTS:
        (tmp_path / "sandbox" / part).mkdir(parents=True)
    (tmp_path / "sandbox" / "workspace" / "file").write_text("content")
    return tmp_path / "sandbox"


@pytest.fixture
def snapshots(tmp_path: Path) -> SnapshotFolders:
    return SnapshotFolders(tmp_path / "snapshots", "x")


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "snapshots").iterdir())


async def test_a_host_killed_during_a_checkpoint_leaves_no_part_of_it(
    source: Path, snapshots: SnapshotFolders, tmp_path: Path
) -> None:
    words = [sys.executable, "-c", HOST, str(tmp_path / "snapshots"), str(source)]
    done = await asyncio.to_thread(subprocess.run, words, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 1  # the part that it was making
    assert snapshots.all() == []
    assert names(tmp_path) == []


def test_a_checkpoint_under_way_is_not_listed_and_not_cleared_away(
    source: Path, snapshots: SnapshotFolders, tmp_path: Path
) -> None:
    first = snapshots.take(source, "first", {"a": "b"})
    with snapshots._building() as part:
        (part / "snapshot.json").write_text("{")
        assert snapshots.all() == [first]
        assert len("content") <= snapshots.take(source, "second", {}).size <= 8 * 4096
        assert part.exists()
    assert names(tmp_path) == ["first", "second"]


def test_a_name_is_given_once(source: Path, snapshots: SnapshotFolders, tmp_path: Path) -> None:
    snapshots.take(source, "one", {})
    with pytest.raises(SandboxError, match="is a checkpoint one already"):
        snapshots.take(source, "one", {})
    assert names(tmp_path) == ["one"]


def test_what_is_removed_is_gone(source: Path, snapshots: SnapshotFolders, tmp_path: Path) -> None:
    snapshots.remove("nothing")  # nor are there any
    snapshots.take(source, "one", {})
    snapshots.remove("one")
    snapshots.remove("one")
    assert names(tmp_path) == []
    with pytest.raises(SandboxGone):
        snapshots.fill(tmp_path, "one")


def filled(folder: Path) -> Path:
    """Make a sandbox's folder with files in its workspace, and return it."""
    for part in PARTS:
        (folder / part).mkdir(parents=True)
    for number in range(FILES):
        (folder / "workspace" / f"{number}").write_text("content")
    (folder / SPEC).write_text("{}")
    return folder


def together(first: Callable[[], object], second: Callable[[], object]) -> list[object]:
    """Call both at the same moment, and return what each returned or raised."""
    begin = Barrier(2)

    def ended(call: Callable[[], object]) -> object:
        begin.wait()
        try:
            return call()
        except SandboxError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(ended, (first, second)))


@pytest.mark.parametrize("most", [None, 1 << 30])
@pytest.mark.parametrize("round_", range(6))
def test_removed_sandbox_has_a_whole_checkpoint_or_none(
    snapshots: SnapshotFolders, tmp_path: Path, most: int | None, round_: int
) -> None:
    source = filled(tmp_path / "sandbox")
    taken, removed = together(lambda: snapshots.take(source, "one", {}, most), lambda: remove_folder(source))
    assert removed is None
    assert not source.exists()
    if isinstance(taken, SandboxError):
        assert snapshots.all() == []
    else:
        assert len(list((tmp_path / "snapshots" / "one" / "workspace").iterdir())) == FILES


@pytest.mark.parametrize("round_", range(6))
def test_removed_checkpoint_is_restored_whole_or_not(
    snapshots: SnapshotFolders, tmp_path: Path, round_: int
) -> None:
    snapshots.take(filled(tmp_path / "sandbox"), "one", {})
    target = tmp_path / "new"
    target.mkdir()
    restored, removed = together(lambda: snapshots.fill(target, "one"), lambda: snapshots.remove("one"))
    assert removed is None
    if not isinstance(restored, SandboxError):
        assert len(list((target / "workspace").iterdir())) == FILES


@pytest.mark.parametrize("most", [None, 1 << 30])
def test_sandbox_that_is_gone_has_no_checkpoint(
    snapshots: SnapshotFolders, tmp_path: Path, most: int | None
) -> None:
    with pytest.raises(SandboxGone, match="removed"):
        snapshots.take(tmp_path / "gone", "one", {}, most)
    assert snapshots.all() == []
