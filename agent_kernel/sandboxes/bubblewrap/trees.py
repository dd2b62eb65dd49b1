"""Trees of files that a sandbox's commands have made: walked, measured, copied and removed.

Such a tree is hostile input: it may be as deep and as wide as the disk allows, have names of any bytes, and
folders that its user cannot enter. So nothing here recurses, joins paths, follows links, or holds more than a
few descriptors: folders are entered and left by descriptor, whatever their depth.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

BLOCK = 512
"""Bytes in the unit of `st_blocks`."""

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Place:
    """A folder in a tree, held by one descriptor. It moves down by name and up again by `..`."""

    def __init__(self, top: Path) -> None:
        self.fd, mode = _open(None, os.fspath(top))
        self._above: list[tuple[int, int, int | None]] = []
        self._mode = mode

    def __enter__(self) -> Place:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        try:
            while self._above:  # only after an error: folders that were opened up get their modes back
                self._leave()
            self._restore()
        finally:
            os.close(self.fd)

    def down(self, name: str) -> None:
        """Enter a folder. Raises `OSError`, also for a link."""
        here = os.fstat(self.fd)
        below, mode = _open(self.fd, name)
        os.close(self.fd)
        self.fd = below
        self._above.append((here.st_dev, here.st_ino, self._mode))
        self._mode = mode

    def up(self) -> None:
        """Go back to the folder above. Raises `OSError` if the folder was moved elsewhere meanwhile."""
        if not self._leave():
            raise OSError(errno.ESTALE, "A folder was moved while the tree was read")

    def _leave(self) -> bool:
        """Go to the folder above. Return whether it is the one that was entered from.

        Where it is another, the way up and the modes noted on it are of other folders: they are forgotten.
        """
        above = os.open("..", _OPEN_FOLDER, dir_fd=self.fd)
        device, inode, mode = self._above.pop()
        found = os.fstat(above)
        self._restore()
        os.close(self.fd)
        self.fd, self._mode = above, mode
        if (found.st_dev, found.st_ino) == (device, inode):
            return True
        self._mode = None
        self._above.clear()
        return False

    def _restore(self) -> None:
        if self._mode is not None:
            os.fchmod(self.fd, self._mode)
            self._mode = None


@dataclass(frozen=True)
class Step:
    """A step of a walk: a file (or link, device ...), or a folder that is entered or left.

    `name` is in the folder `folder` (a descriptor); it is valid until the next step.
    """

    kind: Literal["file", "enter", "leave"]
    folder: int
    name: str
    status: os.stat_result


def walk(top: Path) -> Generator[Step, None, None]:
    """Walk through a tree, the top left out. Raises `OSError`.

    Modes that keep its owner out are changed while a folder is read, and set back.
    """
    with Place(top) as here:
        pending = [_folders_last(here.fd)]
        entered: list[tuple[str, os.stat_result]] = []
        while True:
            entry = next(pending[-1], None)
            if entry is None:
                if not entered:
                    return
                here.up()
                pending.pop()
                yield Step("leave", here.fd, *entered.pop())
            elif stat.S_ISDIR(entry[1].st_mode):
                yield Step("enter", here.fd, *entry)
                here.down(entry[0])
                entered.append(entry)
                pending.append(_folders_last(here.fd))
            else:
                yield Step("file", here.fd, *entry)


def _folders_last(folder: int) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files of a folder, then its folders, with their status.

    The descriptor is used only until the first folder is yielded: the caller then moves on.
    """
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                folders.append((entry.name, status))
            else:
                yield entry.name, status
    yield from folders


def allocated(top: Path) -> int:
    """Return the bytes that a tree takes on the disk: allocated blocks, each inode once. Raises `OSError`."""
    total, seen = os.lstat(top).st_blocks, set()
    for step in walk(top):
        if step.kind == "leave":
            continue
        if step.kind == "file" and step.status.st_nlink > 1:
            if (inode := (step.status.st_dev, step.status.st_ino)) in seen:
                continue
            seen.add(inode)
        total += step.status.st_blocks
    return total * BLOCK


def remove_tree(top: Path) -> None:
    """Remove a file, a link or a folder with everything in it. A missing one is no error.

    Raises `OSError` for the first thing that cannot be removed; everything else is removed then. Another
    process may be removing the same tree at the same time.
    """
    try:
        if not stat.S_ISDIR(os.lstat(top).st_mode):
            os.unlink(top)
            return
        fd, _ = _open(None, os.fspath(top))
    except FileNotFoundError:
        return
    try:
        while True:
            problem = _Emptying(fd).run()
            if problem is not None:
                raise problem
            with contextlib.suppress(FileNotFoundError):
                if not _removed_empty(None, os.fspath(top)):
                    continue  # another process has just moved a folder up
            return
    finally:
        os.close(fd)


class _Emptying:
    """Removes everything in the folder `top`.

    Folders with folders inside are not descended into: those inside are moved up to the top first. So depth
    costs neither descriptors nor stack.
    """

    def __init__(self, top: int) -> None:
        self._top = top
        self._problem: OSError | None = None
        self._progress = False

    def run(self) -> OSError | None:
        """Return the first error if something is left."""
        while True:
            self._problem, self._progress = None, False
            with os.scandir(self._top) as entries:
                for entry in entries:
                    self._try(entry.name, self._folder if _is_folder(entry) else self._unlink, self._top)
            if not self._progress:
                return self._problem

    def _try(self, name: str, step: Callable[[int, str], None], folder: int) -> None:
        try:
            step(folder, name)
        except FileNotFoundError:
            return  # another process was faster
        except OSError as error:
            self._problem = self._problem or OSError(error.errno, error.strerror, name)
        else:
            self._progress = True

    def _unlink(self, folder: int, name: str) -> None:
        os.unlink(name, dir_fd=folder)

    def _folder(self, top: int, name: str) -> None:
        if _removed_empty(top, name):
            return
        fd, _ = _open(top, name)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    self._try(entry.name, self._move_up if _is_folder(entry) else self._unlink, fd)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=top)

    def _move_up(self, folder: int, name: str) -> None:
        if _removed_empty(folder, name):
            return
        below, _ = _open(folder, name)  # a folder that its owner cannot write to cannot be moved
        os.close(below)
        os.rename(name, f"moved-{secrets.token_hex(16)}", src_dir_fd=folder, dst_dir_fd=self._top)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _removed_empty(folder: int | None, name: str) -> bool:
    """Remove a folder if it is empty, and return whether it was."""
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _open(folder: int | None, name: str) -> tuple[int, int | None]:
    """Open a folder, for reading, entering and changing. Return also its mode if it had to be changed."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        changed = os.geteuid() != 0 and mode & stat.S_IRWXU != stat.S_IRWXU
        if changed:
            os.chmod(f"/proc/self/fd/{handle}", mode | stat.S_IRWXU)
        return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), (
            mode if changed else None
        )
    finally:
        os.close(handle)
