"""Checkpoints in folders: there when they are whole, and no part of one is left by a host that was killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent_kernel.errors import SandboxError, SandboxGone
from agent_kernel.sandboxes.bubblewrap.snapshots import PARTS, SnapshotFolders

HOST = """
import sys
from pathlib import Path
from agent_kernel.sandboxes.bubblewrap.snapshots import SnapshotFolders
SnapshotFolders(Path(sys.argv[1]), "x").take(Path(sys.argv[2]), "cut", {})
"""
KILLS_ITS_HOST = """#!/bin/sh
mkdir "$(eval echo \\${$#})/begun"
kill -KILL $PPID
while [ ! -e "$GO" ]; do sleep 0.05; done
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
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cp").write_text(KILLS_ITS_HOST)
    (tmp_path / "bin" / "cp").chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    words = [sys.executable, "-c", HOST, str(tmp_path / "snapshots"), str(source)]
    done = await asyncio.to_thread(
        subprocess.run, words, env={**os.environ, "PATH": path, "GO": str(tmp_path / "go")}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert snapshots.all() == []
    assert len(names(tmp_path)) == 1  # what copies is still at it
    (tmp_path / "go").touch()
    async with asyncio.timeout(30):
        while names(tmp_path):
            await asyncio.sleep(0.05)
            assert snapshots.all() == []


def test_a_checkpoint_under_way_is_not_listed_and_not_cleared_away(
    source: Path, snapshots: SnapshotFolders, tmp_path: Path
) -> None:
    first = snapshots.take(source, "first", {"a": "b"})
    with snapshots._building() as (part, _):
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
