"""Copies of trees: of any depth, and with everything that `cp --archive` keeps."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import SandboxError
from agent_kernel.sandboxes.bubblewrap import copying
from agent_kernel.sandboxes.bubblewrap.copying import copy_trees
from agent_kernel.sandboxes.bubblewrap.layers.sandbox import PARTS
from agent_kernel.sandboxes.bubblewrap.snapshots import copy_parts
from agent_kernel.sandboxes.bubblewrap.trees import Place, walk

LONG = "n" * 255
NOW = 1_700_000_000_123_456_789

AS_NOBODY = """
import os, pathlib, sys
from agent_kernel.sandboxes.bubblewrap.copying import copy_trees
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
os.chdir(sys.argv[1])
for mode in (0, 0o100, 0o200, 0o400, 0o500, 0o600, 0o4711):
    for name in (f"closed/{mode:o}", f"{mode:o}"):
        os.makedirs(f"source/{name}/inside")
        for file in (f"source/{name}/inside/in", f"source/{name}/in", f"source/{name}.file"):
            pathlib.Path(file).write_text(file)
        os.chmod(f"source/{name}.file", mode); os.chmod(f"source/{name}", mode)
os.chmod("source/closed", 0)
os.mkdir("copy")
copy_trees([pathlib.Path("source")], pathlib.Path("copy"))
"""


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "source"
    folder.mkdir()
    yield folder
    # deeper than what pytest's own clean-up can remove
    subprocess.run(["rm", "-rf", folder, tmp_path / "copy"], check=True)


def make_everything(top: Path) -> None:
    (top / LONG).mkdir()
    (top / LONG / LONG).write_bytes(os.urandom(3 << 20))
    with (top / "sparse").open("wb") as file:
        for start in (1 << 20, 900 << 20):
            file.seek(start)
            file.write(b"data")
        file.truncate(1 << 30)
    (top / "hole").touch()
    os.truncate(top / "hole", 5 << 20)
    (top / "empty").touch()
    os.link(top / LONG / LONG, top / "hard")
    os.link(top / "empty", top / LONG / "also empty")
    (top / "link").symlink_to("missing/\udcff")
    os.link(top / "link", top / "link again", follow_symlinks=False)
    (top / "out").symlink_to("/etc")
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(top / "socket"))
    for byte in range(1, 256):
        if byte != ord("/"):
            os.close(os.open(os.fsencode(top) + b"/x" + bytes([byte]), os.O_CREAT | os.O_WRONLY))
    for mode in (0o000, 0o444, 0o4755, 0o2770, 0o1777):
        (top / f"file {mode:o}").write_text("content")
        (top / f"folder {mode:o}").mkdir()
        (top / f"folder {mode:o}" / "file").touch()
        os.setxattr(top / f"file {mode:o}", "user.note", b"kept")
        (top / f"file {mode:o}").chmod(mode)
        (top / f"folder {mode:o}").chmod(mode)
    for path in sorted(top.rglob("*"), reverse=True):
        os.utime(path, ns=(NOW - 7, NOW), follow_symlinks=False)
    os.utime(top, ns=(NOW - 7, NOW))


def seen(top: Path) -> dict[str, Any]:
    """Everything about a tree that a copy has to keep."""
    inodes: dict[int, str] = {}
    found: dict[str, Any] = {}
    for path in [top, *sorted(top.rglob("*"))]:
        status = os.lstat(path)
        name = str(path.relative_to(top))
        regular = stat.S_ISREG(status.st_mode)
        found[name] = (
            status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_nlink,
            inodes.setdefault(status.st_ino, name),
            status.st_size if not stat.S_ISDIR(status.st_mode) else None,
            path.readlink() if path.is_symlink() else None,
            path.read_bytes() if regular and status.st_size < 1 << 26 else None,
            os.listxattr(path) if regular else None,
        )  # fmt: skip
    return found


@pytest.mark.parametrize("clones", [True, False])
def test_copy_keeps_what_cp_keeps(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clones: bool
) -> None:
    if not clones:
        monkeypatch.setattr(copying, "CLONE", 0)  # refused, as by most file systems
    make_everything(source)
    copied, expected = tmp_path / "copy", tmp_path / "expected"
    before = seen(source)
    copied.mkdir()
    expected.mkdir()
    subprocess.run(["cp", "--archive", source, expected], check=True)
    copy_trees([source], copied)
    assert [path.name for path in copied.iterdir()] == ["source"]
    assert seen(copied / "source") == seen(expected / "source") == before
    for name in ("sparse", "hole"):
        most = max(os.stat(expected / "source" / name).st_blocks, 64)
        assert os.stat(copied / "source" / name).st_blocks <= most


@pytest.mark.parametrize("name", ["d", LONG])
def test_copy_of_3000_levels(source: Path, tmp_path: Path, name: str) -> None:
    with Place(source) as here:
        for _ in range(3000):
            os.mkdir(name, 0o755, dir_fd=here.fd)
            here.down(name)
        fd = os.open("file", os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=here.fd)
        os.write(fd, b"content")
        os.utime(fd, ns=(NOW, NOW))
        os.close(fd)
        os.link("file", "again", src_dir_fd=here.fd, dst_dir_fd=here.fd)
    copied = tmp_path / "copy"
    copied.mkdir()
    copy_trees([source], copied)
    steps = [
        (step.kind, step.name, step.status.st_mode, step.status.st_size, step.status.st_nlink)
        for step in walk(copied / "source")
        if step.kind != "leave"
    ]
    assert [step[:2] for step in steps[:3000]] == [("enter", name)] * 3000
    assert sorted(steps[3000:]) == [
        ("file", found, stat.S_IFREG | 0o640, 7, 2) for found in ("again", "file")
    ]


def test_copy_of_closed_folders_without_root() -> None:
    with tempfile.TemporaryDirectory(prefix="agent-kernel-copying-") as name:
        top = Path(name)
        top.chmod(0o777)
        subprocess.run([sys.executable, "-c", AS_NOBODY, name], check=True)
        if os.geteuid() != 0:  # to look into both
            subprocess.run(["chmod", "-R", "u+rwX", name], check=True)
        assert seen(top / "copy" / "source") == seen(top / "source")
        assert (top / "copy" / "source" / "closed" / "0" / "in").read_text() == "source/closed/0/in"


def test_links_between_parts_are_kept(tmp_path: Path) -> None:
    for part in PARTS:
        (tmp_path / "sandbox" / part).mkdir(parents=True)
    (tmp_path / "sandbox" / "home" / "a").write_text("one")
    os.link(tmp_path / "sandbox" / "home" / "a", tmp_path / "sandbox" / "workspace" / "b")
    (tmp_path / "copy").mkdir()
    copy_parts(tmp_path / "sandbox", tmp_path / "copy")
    assert (tmp_path / "copy" / "home" / "a").samefile(tmp_path / "copy" / "workspace" / "b")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == sorted(PARTS)


def test_failed_copy_says_why(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    (source / "workspace").mkdir()
    (source / "workspace" / "file").write_text("content")
    monkeypatch.setattr(copying, "_copy_content", full)
    (tmp_path / "copy").mkdir()
    with pytest.raises(SandboxError, match=r"could not be copied: .*No space left"):
        copy_parts(source, tmp_path / "copy")
