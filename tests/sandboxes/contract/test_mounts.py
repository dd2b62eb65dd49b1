"""Folders of the host in a sandbox: readable below /mnt, never writable, and never more than was named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.mounts import HostMount
from tests.sandboxes.inside import started

SECRET = "not for the sandbox"


@pytest.fixture
def data_set(tmp_path: Path) -> HostMount:
    """A folder with a file, a deep file, and links that lead out of it."""
    folder = tmp_path / "sales"
    (folder / "2024").mkdir(parents=True)
    (folder / "a.csv").write_text("x\n1\n")
    (folder / "2024" / "b.csv").write_text("y\n2\n")
    (tmp_path / "outside.txt").write_text(SECRET)
    (folder / "link").symlink_to(tmp_path / "outside.txt")
    (folder / "up").symlink_to("..")
    os.chmod(folder, 0o777)
    os.chmod(folder / "a.csv", 0o666)
    return HostMount("sales", str(folder.resolve()))


ATTACKS = (
    "echo changed > /mnt/sales/a.csv",
    "touch /mnt/sales/new",
    "rm /mnt/sales/a.csv",
    "mkdir /mnt/sales/d",
    "mv /mnt/sales /mnt/other",
    "chmod 000 /mnt/sales/a.csv",
    "ln /mnt/sales/a.csv /mnt/data/hard",
    "mount -o remount,rw /mnt/sales",
    "umount /mnt/sales",
    "cat /mnt/sales/link",
    f"grep -r '{SECRET}' /mnt/sales/up",
)


def everything(mount: HostMount) -> dict[str, str]:
    """All paths below a folder, with what the files contain."""
    found = sorted(Path(mount.source).rglob("*"))
    return {str(path): path.read_text() if path.is_file() else "" for path in found}


async def test_a_mount_is_read_and_never_written(backend: Backend, data_set: HostMount) -> None:
    before = everything(data_set)
    async with started(backend, mounts=(data_set,)) as run:
        assert (await run("cat /mnt/sales/a.csv /mnt/sales/2024/b.csv")).stdout == b"x\n1\ny\n2\n"
        for attack in ATTACKS:
            done = await run(attack)
            assert done.code != 0, attack
            assert SECRET.encode() not in done.stdout, attack
        assert (await run("pwd; ls -d /mnt/*")).stdout == b"/mnt/data\n/mnt/data\n/mnt/sales\n"
    assert everything(data_set) == before


async def test_mounts_are_marked_read_only(backend: Backend, data_set: HostMount) -> None:
    async with started(backend, mounts=(data_set, HostMount("again", data_set.source))) as run:
        for name in ("sales", "again"):
            seen = await run(f"awk '$2 == \"/mnt/{name}\" {{print $4}}' /proc/mounts")
            assert "ro" in seen.stdout.decode().strip().split(","), seen


async def test_sees_changes_of_the_host_at_once(backend: Backend, data_set: HostMount) -> None:
    async with started(backend, mounts=(data_set,)) as run:
        (Path(data_set.source) / "later.csv").write_text("z\n")
        assert (await run("cat /mnt/sales/later.csv")).stdout == b"z\n"
