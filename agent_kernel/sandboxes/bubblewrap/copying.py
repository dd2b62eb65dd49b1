"""Copies of trees that a sandbox's commands have made, whatever their depth.

Kept are contents with their holes, modes, owners where this user may set them, times, extended attributes,
symbolic and hard links, fifos and sockets. Folders are entered by descriptor: no path limits the depth.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent_kernel.sandboxes.bubblewrap.trees import Place, Step, remove_tree, walk

CLONE = 0x40049409  # FICLONE: share the file's blocks where the file system can
_PIECE = 1 << 26
_UNABLE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""The errors of a file system that cannot copy by itself."""


def copy_trees(sources: Sequence[Path], target: Path) -> None:
    """Copy folders into the folder `target`, each under its name. Raises `OSError`.

    A folder of that name may be there, if it is empty. Links between the files of two sources are kept.
    """
    with copying(target) as copier:
        for source in sources:
            copier.copy(source, target / source.name)


@contextlib.contextmanager
def copying(target: Path) -> Iterator[TreeCopier]:
    """Yield a copier into the folder `target`. Raises `OSError`."""
    staging = Path(tempfile.mkdtemp(prefix="links-", dir=target))
    try:
        with Place(staging) as links:
            yield TreeCopier(links.fd)
    finally:
        remove_tree(staging)


class TreeCopier:
    """Copies trees; `links` is a folder with one more link to each copied file that has several.

    So a later link to a file is made from there, and not from a path that may be too long.
    """

    def __init__(self, links: int) -> None:
        self._links = links
        self._linked: dict[tuple[int, int], str] = {}

    def copy(self, source: Path, target: Path) -> None:
        """Copy a folder with everything in it."""
        status = os.lstat(source)
        target.mkdir(mode=0o700, exist_ok=True)
        with Place(target) as here:
            for step in walk(source):
                if step.kind == "enter":
                    os.mkdir(step.name, 0o700, dir_fd=here.fd)
                    with _opened(step) as folder:
                        here.down(step.name)
                        self.attributes(folder, here.fd)
                elif step.kind == "leave":
                    _leave(here, step.status)
                else:
                    self.file(step, here.fd)
            with Place(source) as top:
                self.attributes(top.fd, here.fd)
            finish(here.fd, status)

    def attributes(self, source: int, target: int, *, but: str | None = None) -> None:
        """Copy extended attributes, except those whose names begin with `but`."""
        _copy_attributes(source, target, but)

    def file(self, step: Step, here: int) -> None:
        """Copy what is not a folder into the folder `here`."""
        status = step.status
        inode = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and (link := self._linked.get(inode)) is not None:
            os.link(link, step.name, src_dir_fd=self._links, dst_dir_fd=here, follow_symlinks=False)
            return
        if stat.S_ISREG(status.st_mode):
            _copy_regular(step, here)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(step.name, dir_fd=step.folder), step.name, dir_fd=here)
            _finish_named(step, here)
        else:
            os.mknod(step.name, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=here)
            _finish_named(step, here)
        if status.st_nlink > 1:
            link = self._linked[inode] = str(len(self._linked))
            os.link(step.name, link, src_dir_fd=here, dst_dir_fd=self._links, follow_symlinks=False)


def _leave(here: Place, status: os.stat_result) -> None:
    """Go up, and then finish the folder that was left: its mode may forbid to go up from it."""
    left = os.dup(here.fd)
    try:
        here.up()
        finish(left, status)
    finally:
        os.close(left)


def _copy_regular(step: Step, here: int) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with _opened(step) as source:
        target = os.open(step.name, flags, 0o600, dir_fd=here)
        try:
            _copy_content(source, target)
            _copy_attributes(source, target)
            finish(target, step.status)
        finally:
            os.close(target)


@contextlib.contextmanager
def _opened(step: Step) -> Iterator[int]:
    """Open a file or folder to read it. One whose mode keeps its owner out is readable meanwhile."""
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(step.name, flags, dir_fd=step.folder)
    path = f"/proc/self/fd/{handle}"
    closed = os.geteuid() != 0 and not step.status.st_mode & stat.S_IRUSR
    try:
        if closed:
            os.chmod(path, stat.S_IMODE(step.status.st_mode) | stat.S_IRUSR)
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)
            if closed:
                os.chmod(path, stat.S_IMODE(step.status.st_mode))
    finally:
        os.close(handle)


def _copy_content(source: int, target: int) -> None:
    """Copy a file's content and leave its holes out."""
    try:
        fcntl.ioctl(target, CLONE, source)
    except OSError:  # this file system does not clone; each has its own error for that
        size = os.fstat(source).st_size
        os.ftruncate(target, size)
        start = 0
        while start < size:
            try:
                start = os.lseek(source, start, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # only a hole is left
                    return
                raise
            end = os.lseek(source, start, os.SEEK_HOLE)
            _copy_range(source, target, start, end)
            start = end


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        most = min(end - start, _PIECE)
        try:
            copied = os.copy_file_range(source, target, most, start, start)
        except OSError as error:
            if error.errno not in _UNABLE:
                raise
            copied = os.pwrite(target, os.pread(source, min(most, 1 << 20), start), start)
        if not copied:  # the file became shorter meanwhile
            return
        start += copied


def _copy_attributes(source: int, target: int, but: str | None = None) -> None:
    """Copy extended attributes, as far as this user may and the file system can."""
    for name in os.listxattr(source):
        if but is not None and name.startswith(but):
            continue
        with contextlib.suppress(OSError):  # a checkpoint without it is better than none
            os.setxattr(target, name, os.getxattr(source, name))


def finish(fd: int, status: os.stat_result) -> None:
    """Set owner, mode and times, in this order: a change of owner resets mode bits."""
    with contextlib.suppress(PermissionError):  # only root gives files away
        os.fchown(fd, status.st_uid, status.st_gid)
    os.fchmod(fd, stat.S_IMODE(status.st_mode))
    os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))


def _finish_named(step: Step, here: int) -> None:
    """Do what `finish` does to something that cannot be opened, or not without an effect."""
    status = step.status
    with contextlib.suppress(PermissionError):
        os.chown(step.name, status.st_uid, status.st_gid, dir_fd=here, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(step.name, stat.S_IMODE(status.st_mode), dir_fd=here)
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(step.name, ns=times, dir_fd=here, follow_symlinks=False)
