"""Checkpoints in folders: there when they are whole, and no part of one is left by a host that was killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent_kernel.errors import SandboxError, SandboxGone
from agent_kernel.sandboxes.bubblewrap.snapshots import PARTS, SnapshotFolders

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
