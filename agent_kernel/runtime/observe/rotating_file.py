"""A file that processes append to together, and that is replaced when it is full."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class RotatingFile:
    """Appends to `path`, readable by its user only.

    A file over `limit` bytes becomes `<path>.1`, that one `<path>.2` and so on up to `kept`; older ones are
    removed. Each append is one write, so lines of several processes never mix. Processes take a lock on
    `<path>.lock` to rotate. All methods raise `OSError`.
    """

    def __init__(self, path: Path, limit: int, kept: int) -> None:
        self.path = path
        self._name = str(path)
        self._limit = limit
        self._kept = kept
        self._fd: int | None = None

    def open(self) -> None:
        """Open the file, making it and its folder. Idempotent."""
        if self._fd is None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._fd = _opened(self.path)

    def append(self, data: bytes) -> None:
        """Append `data`, in a new file if this one is full."""
        os.write(self._current(), data)

    def close(self) -> None:
        """Close the file. Idempotent; a later append opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _current(self) -> int:
        """Return the descriptor of the newest file: this or another process may have rotated it."""
        if self._fd is not None:
            ours = os.fstat(self._fd)
            if ours.st_size >= self._limit:
                self._rotate(ours.st_ino)
            with suppress(FileNotFoundError):
                if os.stat(self._name).st_ino == ours.st_ino:
                    return self._fd
            self.close()
        self._fd = _opened(self.path)
        return self._fd

    def _rotate(self, inode: int) -> None:
        path = self.path
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists() or path.stat().st_ino != inode:  # another process was first
                return
            for number in range(self._kept, 0, -1):
                older = path if number == 1 else Path(f"{path}.{number - 1}")
                with suppress(FileNotFoundError):
                    older.replace(f"{path}.{number}")
        finally:
            os.close(lock)


def _opened(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)
