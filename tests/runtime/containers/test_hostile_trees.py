"""Containers whose commands leave hostile trees: they expire and go, and never hold up the others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import SandboxError, SandboxGone
from agent_kernel.runtime.containers.containers import CheckpointPolicy, LocalContainers
from agent_kernel.runtime.containers.sweep import sweep
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.optional import volumes_of
from agent_kernel.store.rows import Rows
from tests.conftest import BUBBLEWRAP, without_gvisor
from tests.runtime.containers.lifecycle import age, expire, run, until_async
from tests.sandboxes.inside import new_id, started

Make = Callable[..., LocalContainers]
Audited = Callable[..., list[dict[str, Any]]]

HOSTILE = """python3 - <<'END'
import os
for name in (b"deep", b"wide", b"closed"): os.mkdir(name)
here = os.open("deep", os.O_RDONLY)
for _ in range(1500):
    os.mkdir("deep", dir_fd=here)
    below = os.open("deep", os.O_RDONLY, dir_fd=here)
    os.close(here)
    here = below
for number in range(300): open(f"wide/{number}", "w").close()
for byte in range(1, 256):
    if byte != 47: os.mkdir(b"wide/x" + bytes([byte]))
os.symlink(".", "loop"); os.symlink("/", "out")
open("sparse", "wb").truncate(50 << 30)
os.mkdir("closed/inside"); os.chmod("closed/inside", 0); os.chmod("closed", 0)
print("made")
END"""
LOOK = "echo *; ls -b wide | wc -l"


on_bubblewrap = pytest.mark.parametrize("backend", [BUBBLEWRAP], indirect=True)
"""There the files are the host's to remove."""


async def gone(backend: Backend, sandbox: str) -> bool:
    try:
        await backend.get(sandbox)
    except SandboxGone:
        return True
    return False


@pytest.mark.shown_on("bubblewrap")
@without_gvisor
async def test_hostile_tree_is_deleted(make: Make, backend: Backend, tmp_path: Path) -> None:
    containers = make()
    container = (await containers.create({})).id
    assert await run(containers, container, HOSTILE) == "made\n"
    await containers.delete(container)
    assert await gone(backend, container)
    assert not any(tmp_path.glob("sandboxes/*"))  # noqa: ASYNC240 (a test)


@pytest.mark.shown_on("bubblewrap")
@without_gvisor
async def test_hostile_tree_on_volume_is_removed(backend: Backend) -> None:
    volume = new_id()
    volumes = volumes_of(backend)
    async with started(backend, volume=volume) as sandbox:
        assert (await sandbox(HOSTILE)).stdout == b"made\n"
    async with started(backend, volume=volume) as sandbox:
        assert (await sandbox(LOOK)).stdout == b"closed deep loop out sparse wide\n554\n"
    await volumes.remove_volume(volume)
    assert volume not in [found.name for found in await volumes.volumes()]


@without_gvisor
@pytest.mark.on_docker
async def test_hostile_trees_expire_with_the_others(
    make: Make, backend: Backend, store: Rows, audited: Audited
) -> None:
    containers = make()
    ids = [(await containers.create({})).id for _ in range(3)]
    assert await run(containers, ids[1], HOSTILE) == "made\n"
    await run(containers, ids[2], "echo content >file")
    for one in ids:
        await age(store, one)
    containers.refresh()

    async def all_ended() -> bool:
        return all([await gone(backend, one) for one in ids])

    await until_async(all_ended)
    assert [(await containers.retrieve(one)).status for one in ids] == ["expired"] * 3
    reasons = {line["container"]: line.get("reason") for line in audited("expire")}
    assert reasons[ids[0]] is None
    if backend.name == "docker":  # the engine cannot measure below paths that are too long
        assert "cannot tell how much space" in str(reasons[ids[1]])
    else:
        assert reasons[ids[1]] is None
        seen = await run(containers, ids[1], f"{LOOK}; find deep | wc -l; stat -c %s sparse")
        assert seen == f"closed deep loop out sparse wide\n554\n1501\n{50 << 30}\n"
    assert await run(containers, ids[2], "cat file") == "content\n"


@pytest.mark.shown_on("bubblewrap")
@without_gvisor
async def test_hostile_tree_comes_back_after_expiry(make: Make, store: Rows, backend: Backend) -> None:
    """One whose paths and sparse file are short enough."""
    containers = make()
    container = (await containers.create({})).id
    await run(containers, container, HOSTILE.replace("50 << 30", "1 << 20").replace("1500", "400"))
    await expire(store, containers, container)
    seen = await run(containers, container, f"{LOOK}; find deep | wc -l")
    assert seen == "closed deep loop out sparse wide\n554\n401\n"


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of files that the kernel refuses to remove, as it refuses a mount or an immutable file."""
    names: set[str] = set()
    unlink = os.unlink

    def refusing(path: Any, *, dir_fd: int | None = None) -> None:
        if os.fspath(path) in names:
            raise PermissionError(1, "Operation not permitted", path)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refusing)
    return names


@on_bubblewrap
async def test_not_deleted_while_a_file_is_left(
    make: Make, backend: Backend, store: Rows, refused: set[str], tmp_path: Path
) -> None:
    containers = make()
    container = (await containers.create({})).id
    await run(containers, container, "mkdir a; echo >a/stays; echo >a/goes")
    refused.add("stays")
    for _ in range(2):
        with pytest.raises(SandboxError, match=r"Some files of .* could not be removed.*stays"):
            await containers.delete(container)
        assert (await store.container(container)) is not None
        assert (await backend.get(container)).status == "dead"
    refused.clear()
    await containers.delete(container)
    assert list((tmp_path / "sandboxes").iterdir()) == []


@on_bubblewrap
async def test_failed_removal_at_expiry_is_tried_again(
    make: Make, backend: Backend, store: Rows, refused: set[str]
) -> None:
    containers = make(checkpoints=CheckpointPolicy(keep_expired=False))  # else a layer has the file
    ids = [(await containers.create({})).id for _ in range(2)]
    await run(containers, ids[0], "echo >stays")
    refused.add("stays")
    for one in ids:
        await expire(store, containers, one)
    assert await gone(backend, ids[1])
    assert not await gone(backend, ids[0])
    with pytest.raises(SandboxError, match=r"Some files of .* could not be removed"):
        await containers.delete(ids[0])  # never called deleted meanwhile
    assert await store.container(ids[0]) is not None
    refused.clear()
    await sweep(backend, store)
    assert await gone(backend, ids[0])


@on_bubblewrap
async def test_sweep_passes_what_cannot_be_removed(
    make: Make, backend: Backend, store: Rows, refused: set[str], tmp_path: Path
) -> None:
    containers = make()
    ids = [(await containers.create({})).id for _ in range(3)]
    await run(containers, ids[0], "echo >stays")
    (tmp_path / "sandboxes" / "corrupt").mkdir()
    (tmp_path / "sandboxes" / "corrupt" / "spec.json").write_text("{")
    refused.add("stays")
    for one in ids:
        await store.delete_container(one)
    await sweep(backend, store)
    assert [await gone(backend, one) for one in ids] == [False, True, True]
    refused.clear()
    await sweep(backend, store)
    assert await gone(backend, ids[0])
