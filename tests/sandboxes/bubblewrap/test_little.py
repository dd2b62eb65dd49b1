"""Checkpoints of what is little: copies, which leave the sandbox's mounts alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.sandboxes.bubblewrap import snapshots
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.layers.sandbox import read_lowers
from agent_kernel.sandboxes.optional import snapshots_of
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.sandboxes.inside import checkpoint, started

IS_LITTLE = snapshots.is_little  # which other tests here are without


@pytest.mark.bubblewrap
async def test_little_is_copied_and_much_becomes_a_layer(
    toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "is_little", IS_LITTLE)
    monkeypatch.setattr(snapshots, "LITTLE_FILES", 20)
    backend = BubblewrapBackend(tmp_path, toolbox)
    try:
        async with started(backend) as run:
            folder = backend._folder(run.ref.id)
            await run("echo first >file; mkdir -m 700 folder; ln -s file folder/link")
            first = await checkpoint(run)
            assert read_lowers(folder) == ()
            await run("rm file; for i in {1..20}; do echo $i >folder/$i; done")
            second = await checkpoint(run)
            assert len(read_lowers(folder) or ()) == 1
            await run("rm -r folder; echo third >other")
            third = await checkpoint(run)
            assert len(read_lowers(folder) or ()) == 1
            for snapshot, layers, found in (
                (first, 0, "file folder folder/link"),
                (second, 1, "folder " + " ".join(sorted(f"folder/{i}" for i in (*range(1, 21), "link")))),
                (third, 2, "other"),
            ):
                async with started(backend, snapshot=snapshot.id) as begun:
                    assert len(read_lowers(backend._folder(begun.ref.id)) or ()) == layers
                    shown = await begun("find * | LC_ALL=C sort | paste -sd' '")
                    assert shown.stdout.decode().strip() == found
        for snapshot in await snapshots_of(backend).snapshots():
            await snapshots_of(backend).remove_snapshot(snapshot.id)
    finally:
        await backend.aclose()
    left = list(tmp_path.glob("layers/*"))  # noqa: ASYNC240 (a test)
    assert not left


@pytest.mark.parametrize(("mode", "little"), [(0o700, True), (0o300, False), (0o200, False)])
def test_what_its_owner_cannot_read_is_not_little(tmp_path: Path, mode: int, little: bool) -> None:
    """A copy would change the modes for a moment, under other sandboxes too."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for each in ("folder", "file"):
        (tmp_path / each).chmod(mode)
        assert IS_LITTLE([tmp_path]) is little
        (tmp_path / each).chmod(0o700)
