"""boxd's own files in the run folder. A command may have put a pipe, a link or a folder in their place.

Nothing here waits for another process, follows a link, or reads more than a limit.
"""

from __future__ import annotations

import errno
import os
import stat

FLAGS = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW

LIMIT = 64 << 20
"""The most bytes that are read of a file."""


def read_file(path: str) -> bytes:
    """Return the content of a regular file. Raises `OSError`, also for other files and longer ones."""
    fd = os.open(path, os.O_RDONLY | FLAGS)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > LIMIT:
            raise OSError(errno.EINVAL, "not a file of boxd's")
        content = bytearray()
        while len(content) <= LIMIT and (piece := os.read(fd, LIMIT)):
            content += piece
        return bytes(content)
    finally:
        os.close(fd)


def create_file(path: str) -> int:
    """Return a descriptor to write an empty file, instead of whatever has the path. Raises `OSError`."""
    for _ in range(2):
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | FLAGS, 0o666)
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.ELOOP, errno.ENXIO):
                raise
        else:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                return fd
            os.close(fd)
        make_way(path)
    raise OSError(errno.EEXIST, "something else has the name of a file of boxd's")


def write_file(path: str, content: bytes) -> None:
    """Write a whole file. Raises `OSError`."""
    fd = create_file(path)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def make_way(path: str) -> None:
    """Remove a file, or rename a folder that a command has put in its place. Raises `OSError`."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        os.rename(path, path + "." + os.urandom(4).hex())


def identity(fd: int) -> tuple[int, int]:
    """Return what tells an open file from every other: its device and inode."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def is_in_place(path: str, made: tuple[int, int]) -> bool:
    """Return whether `path` still names the file with the identity `made`. A command may have removed it."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == made


def keep_regular(path: str) -> None:
    """Make way unless the path is free or a regular file: bash would wait for a pipe. Raises `OSError`."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        make_way(path)
