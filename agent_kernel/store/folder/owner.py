"""Liveness of processes by file locks.

Each process holds a lock on its own file. The system releases the lock when the process ends in any way, so
process ids, which containers and reboots make meaningless, are not needed.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from contextlib import suppress
from pathlib import Path


class Owner:
    """A process (or one store of it). `folder` holds one file per process."""

    def __init__(self, folder: Path) -> None:
        self.id = uuid.uuid4().hex
        self._folder = folder
        self._fd: int | None = None

    def claim(self) -> None:
        """Take the lock. Idempotent. Raises `OSError` if the folder cannot be written."""
        if self._fd is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self._folder / self.id, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        self._fd = fd

    def is_alive(self, other: str) -> bool:
        """Return whether another process holds its lock. Removes the file of a dead one."""
        if other == self.id:
            return self._fd is not None
        path = self._folder / Path(other).name
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except (OSError, ValueError):
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        with suppress(OSError):
            path.unlink()
        return False

    def wait_for_end(self, other: str) -> None:
        """Block until another process has released its lock."""
        with suppress(FileNotFoundError), (self._folder / Path(other).name).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)

    def release(self) -> None:
        """Remove the file and release the lock. Idempotent."""
        if self._fd is not None:
            with suppress(OSError):
                (self._folder / self.id).unlink()
            os.close(self._fd)
            self._fd = None
