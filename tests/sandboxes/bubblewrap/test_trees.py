"""Trees as hostile commands leave them: walked, measured and removed whatever their shape."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_kernel.sandboxes.bubblewrap.trees import allocated, remove_tree, walk

DEPTH = 1200
"""Deeper than Python recurses, longer than a path may be, and more than the descriptors left below."""


@pytest.fixture
def top() -> Iterator[Path]:
    """A folder that every user can change; GNU rm removes what the code under test may leave."""
    with tempfile.TemporaryDirectory(prefix="agent-kernel-trees-") as name:
        folder = Path(name, "top")
        folder.parent.chmod(0o755)
        folder.mkdir()
        folder.chmod(0o777)
        yield folder
        subprocess.run(["rm", "-rf", str(folder)], check=False)


def deep(top: Path) -> None:
    here = os.open(top, os.O_RDONLY)
    for level in range(DEPTH):
        os.mkdir("deep", dir_fd=here)
        os.close(os.open(f"f{level}", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def wide(top: Path) -> None:
    for number in range(1200):
        (top / f"{number}").touch()
        if number % 10 == 0:
            (top / f"d{number}" / "inside").mkdir(parents=True)


def looping(top: Path) -> None:
    (top / "a").mkdir()
    (top / "a" / "up").symlink_to("..")
    (top / "self").symlink_to("self")
    (top / "b").symlink_to("a/up/a")
    (top / "out").symlink_to("/")


def unreadable(top: Path) -> None:
    for mode in (0o000, 0o100, 0o200, 0o400, 0o500):
        folder = top / f"{mode:o}" / "inside"
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
        (folder / "file").chmod(0)
        folder.chmod(mode)
        folder.parent.chmod(mode)


def every_byte(top: Path) -> None:
    for byte in range(1, 256):
        if byte != ord("/"):
            os.mkdir(os.fsencode(top) + b"/x" + bytes([byte]))
            os.mkdir(os.fsencode(top) + b"/x" + bytes([byte]) + b"/" + bytes([byte]) * 255)


def sparse(top: Path) -> None:
    with (top / "large").open("wb") as file:
        file.truncate(1 << 40)
    os.link(top / "large", top / "again")
    os.mkfifo(top / "pipe")


SHAPES = (deep, wide, looping, unreadable, every_byte, sparse)


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, limits[0]), limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture(params=[0, 65534], ids=["root", "user"])
def as_user(request: pytest.FixtureRequest) -> Callable[[Callable[[], None]], None]:
    """Return a function that calls another in a process of its own, as root or as an ordinary user."""

    def run(call: Callable[[], None]) -> None:
        child = os.fork()
        if child == 0:
            try:
                if request.param and os.geteuid() == 0:
                    os.setgid(request.param)
                    os.setuid(request.param)
                call()
            except BaseException as error:  # noqa: BLE001 (the parent reports the exit code)
                os.write(2, f"{error!r}\n".encode())
                os._exit(1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    return run


@pytest.mark.parametrize("shape", SHAPES)
def test_hostile_tree_is_walked_and_removed(
    shape: Callable[[Path], None],
    top: Path,
    few_descriptors: None,
    as_user: Callable[[Callable[[], None]], None],
) -> None:
    def measured_and_removed() -> None:
        (top / "mine").mkdir()
        shape(top / "mine")
        steps = list(walk(top))
        assert len(steps) > 3
        assert sum(step.kind == "enter" for step in steps) == sum(step.kind == "leave" for step in steps)
        assert allocated(top) < 64 << 20
        remove_tree(top / "mine")

    as_user(measured_and_removed)
    assert list(top.iterdir()) == []


def test_walk_gives_modes_back(top: Path, as_user: Callable[[Callable[[], None]], None]) -> None:
    def modes() -> list[int]:
        return [top.joinpath(name).stat().st_mode & 0o777 for name in ("0", "100", "400", "500")]

    def look() -> None:
        unreadable(top)
        before = modes()
        allocated(top)
        assert modes() == before
        for step in walk(top):
            if step.kind == "file":
                break  # abandoned on the way
        assert modes() == before

    as_user(look)


def test_size_counts_blocks_and_each_inode_once(top: Path) -> None:
    (top / "file").write_bytes(os.urandom(1 << 20))
    once = allocated(top)
    assert 1 << 20 <= once < (1 << 20) + (64 << 10)
    os.link(top / "file", top / "again")
    (top / "link").symlink_to("file")
    with (top / "sparse").open("wb") as file:
        file.truncate(50 << 30)
    assert allocated(top) < once + (64 << 10)


def test_links_are_removed_not_their_targets(top: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (top / "link").symlink_to(tmp_path / "kept")
    remove_tree(top / "link")
    (top / "link").symlink_to(tmp_path / "kept")
    remove_tree(top)
    remove_tree(top)
    assert not top.exists()
    assert (tmp_path / "kept" / "file").exists()


def test_what_cannot_be_removed_is_reported(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else goes, below it as well."""
    for number in range(30):
        (top / f"{number}" / "a" / "b").mkdir(parents=True)
        (top / f"{number}" / "a" / "b" / ("stays" if number == 17 else "goes")).touch()
    unlink = os.unlink

    def refusing(path: str, *, dir_fd: int | None = None) -> None:
        if path == "stays":
            raise PermissionError(1, "Operation not permitted", path)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refusing)
    with pytest.raises(PermissionError, match="stays"):
        remove_tree(top)
    left = [path.name for path in top.rglob("*") if path.is_file()]
    assert left == ["stays"]
    assert len(list(top.rglob("*"))) == 2
    monkeypatch.undo()
    shutil.rmtree(top)
    top.mkdir()


def test_two_removals_of_one_tree(top: Path) -> None:
    wide(top)
    deep(top / "d10")
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            try:
                remove_tree(top)
            except BaseException as error:  # noqa: BLE001 (the parent reports the exit code)
                os.write(2, f"{error!r}\n".encode())
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert not top.exists()


def test_moved_folder_ends_a_walk_and_keeps_its_modes(top: Path) -> None:
    """Whether the walk goes on or is given up: the folder above is then not the one it entered from."""
    for gives_up in (False, True):
        shutil.rmtree(top / "a", ignore_errors=True)
        (top / "a" / "below").mkdir(parents=True)
        (top / "a" / "below" / "file").touch()
        (top / "a").chmod(0o500)
        other = top.parent / f"other-{gives_up}"
        other.mkdir(mode=0o700)
        steps = walk(top / "a")
        assert [next(steps).name for _ in range(2)] == ["below", "file"]
        (top / "a").chmod(0o700)
        (top / "a" / "below").rename(other / "below")
        if gives_up:
            steps.close()
        else:
            with pytest.raises(OSError, match="moved while"):
                next(steps)
        assert stat.S_IMODE(other.stat().st_mode) == 0o700
