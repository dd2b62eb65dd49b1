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
from agent_kernel.sandboxes.bubblewrap.folder import FILES, SPEC, remove_folder
from agent_kernel.sandboxes.bubblewrap.layers.namespaces import Entrance
from agent_kernel.sandboxes.bubblewrap.layers.sandbox import PARTS, SandboxLayers, write_lowers
from agent_kernel.sandboxes.bubblewrap.layers.store import LayerStore, building
from agent_kernel.sandboxes.bubblewrap.snapshots import SnapshotFolders
from agent_kernel.sandboxes.bubblewrap.trees import remove_tree
from tests.conftest import CHECKOUT

COUNT = 300

HOST = """
import os, signal, sys
from pathlib import Path
from agent_kernel.sandboxes.bubblewrap import copying
from tests.sandboxes.bubblewrap.test_bubblewrap_snapshots import snapshots_in
copying._copy_content = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
snapshots_in(Path(sys.argv[1])).take(Path(sys.argv[2]), "cut", {})
"""


def snapshots_in(data: Path) -> SnapshotFolders:
    store = LayerStore(data)
    return SnapshotFolders(data / "snapshots", "x", store, SandboxLayers(store, Entrance()))


@pytest.fixture(params=[True, False], ids=["layers", "copies"])
def source(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return filled(tmp_path / "sandboxes" / "one", layered=request.param)


@pytest.fixture
def snapshots(tmp_path: Path) -> SnapshotFolders:
    return snapshots_in(tmp_path)


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "snapshots").glob("*"))


def layers(tmp_path: Path) -> list[Path]:
    """Return the layers and what is left of some."""
    return [*(tmp_path / "layers").glob("*")]


async def test_a_host_killed_during_a_checkpoint_leaves_no_part_of_it(
    snapshots: SnapshotFolders, tmp_path: Path
) -> None:
    source = filled(tmp_path / "sandboxes" / "one", layered=False)
    words = [sys.executable, "-c", HOST, str(tmp_path), str(source)]
    done = await asyncio.to_thread(subprocess.run, words, check=False, cwd=CHECKOUT)
    assert done.returncode == -signal.SIGKILL
    assert len(layers(tmp_path)) == 1  # the part that it was making
    assert snapshots.all() == []
    snapshots.remove("any")
    assert layers(tmp_path) == []


def test_a_checkpoint_under_way_is_not_listed_and_not_cleared_away(
    source: Path, snapshots: SnapshotFolders, tmp_path: Path
) -> None:
    first = snapshots.take(source, "first", {"a": "b"})
    with building(tmp_path / "snapshots") as part:
        (part / "snapshot.json").write_text("{")
        assert snapshots.all() == [first]
        assert len("content") <= snapshots.take(source, "second", {}).size
        assert part.exists()
    assert names(tmp_path) == ["first", "second"]


def test_a_name_is_given_once(source: Path, snapshots: SnapshotFolders, tmp_path: Path) -> None:
    first = snapshots.take(source, "one", {})
    with pytest.raises(SandboxError, match="is a checkpoint one already"):
        snapshots.take(source, "one", {})
    assert names(tmp_path) == ["one"]
    assert snapshots.all() == [first]


def test_what_is_removed_is_gone(source: Path, snapshots: SnapshotFolders, tmp_path: Path) -> None:
    snapshots.remove("nothing")  # nor are there any
    snapshots.take(source, "one", {})
    remove_folder(source)
    snapshots.remove("one")
    snapshots.remove("one")
    assert (names(tmp_path), layers(tmp_path)) == ([], [])
    with pytest.raises(SandboxGone):
        snapshots.fill(tmp_path, "one", layered=False)


def filled(folder: Path, *, layered: bool = True) -> Path:
    """Make a dead sandbox's folder with files in its workspace, and return it."""
    for part in PARTS:
        (folder / FILES / part).mkdir(parents=True)
    for number in range(COUNT):
        (folder / FILES / "workspace" / f"{number}").write_text("content")
    (folder / SPEC).write_text("{}")
    if layered:
        write_lowers(folder, ())
    return folder


def restored(snapshots: SnapshotFolders, folder: Path, name: str) -> list[str]:
    """Return the names in the workspace of a sandbox that begins with a copy of a checkpoint."""
    (folder / FILES).mkdir(parents=True)
    snapshots.fill(folder, name, layered=False)
    return sorted(path.name for path in (folder / FILES / "workspace").iterdir())


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
@pytest.mark.parametrize("round_", range(4))
def test_removed_sandbox_has_a_whole_checkpoint_or_none(
    source: Path, snapshots: SnapshotFolders, tmp_path: Path, most: int | None, round_: int
) -> None:
    taken, removed = together(lambda: snapshots.take(source, "one", {}, most), lambda: remove_folder(source))
    assert removed is None
    assert not source.exists()
    snapshots.remove("another")
    if isinstance(taken, SandboxError):
        assert snapshots.all() == []
        assert layers(tmp_path) == []
    else:
        assert len(restored(snapshots, tmp_path / "new", "one")) == COUNT


@pytest.mark.parametrize("round_", range(4))
def test_removed_checkpoint_is_restored_whole_or_not(
    source: Path, snapshots: SnapshotFolders, tmp_path: Path, round_: int
) -> None:
    snapshots.take(source, "one", {})
    remove_folder(source)
    found, removed = together(
        lambda: restored(snapshots, tmp_path / "new", "one"), lambda: snapshots.remove("one")
    )
    assert removed is None
    if not isinstance(found, SandboxError):
        assert len(list((tmp_path / "new" / FILES / "workspace").iterdir())) == COUNT


@pytest.mark.parametrize("most", [None, 1 << 30])
def test_sandbox_that_is_gone_has_no_checkpoint(
    snapshots: SnapshotFolders, tmp_path: Path, most: int | None
) -> None:
    with pytest.raises(SandboxGone, match="removed"):
        snapshots.take(tmp_path / "gone", "one", {}, most)
    assert snapshots.all() == []


def test_checkpoint_of_an_earlier_version_is_restored(snapshots: SnapshotFolders, tmp_path: Path) -> None:
    old = tmp_path / "snapshots" / "old"
    for part in PARTS:
        (old / part).mkdir(parents=True)
    (old / "workspace" / "file").write_text("content")
    (old / "snapshot.json").write_text(
        '{"id": "old", "backend": "x", "created_at": 1.0, "size": 9, "labels": {}, "layers": {}}'
    )
    assert [each.id for each in snapshots.all()] == ["old"]
    assert restored(snapshots, tmp_path / "new", "old") == ["file"]
    (tmp_path / "layered" / FILES).mkdir(parents=True)
    snapshots.fill(tmp_path / "layered", "old", layered=True)
    assert (tmp_path / "layered" / FILES / "workspace" / "file").read_text() == "content"


def test_sandbox_of_an_earlier_version_has_checkpoints(snapshots: SnapshotFolders, tmp_path: Path) -> None:
    for part in PARTS:
        (tmp_path / "sandbox" / part).mkdir(parents=True)
    (tmp_path / "sandbox" / "workspace" / "file").write_text("content")
    snapshots.take(tmp_path / "sandbox", "one", {})
    assert restored(snapshots, tmp_path / "new", "one") == ["file"]


def test_damaged_checkpoint_is_said(source: Path, snapshots: SnapshotFolders, tmp_path: Path) -> None:
    snapshots.take(source, "one", {})
    for layer in layers(tmp_path):
        remove_tree(layer)
    with pytest.raises(SandboxError, match="checkpoint one is damaged"):
        snapshots.fill(tmp_path / "new", "one", layered=True)
