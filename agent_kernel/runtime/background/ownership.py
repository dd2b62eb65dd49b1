"""Which process runs a turn, and whether it still lives.

Each process that runs turns holds a lock on a file of its own. The system lets go of it when the process
ends, however it ends, and nobody has to guess from process ids, which containers and reboots make
meaningless.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from contextlib import suppress
from pathlib import Path


class Owner:
    """A process (or one runtime of it), as the store's rows name it. `folder` is the store's own."""

    def __init__(self, folder: Path) -> None:
        self.id = uuid.uuid4().hex
        self._folder = folder / "owners"
        self._fd: int | None = None

    def claim(self) -> None:
        """Begin to live. Raises `OSError` where the folder cannot be written."""
        if self._fd is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self._folder / self.id, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        self._fd = fd

    def is_alive(self, other: str) -> bool:
        """Whether that owner lives. What a dead one left is removed."""
        if other == self.id:
            return self._fd is not None
        path = self._folder / Path(other).name
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
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

    def release(self) -> None:
        """End in good order. Idempotent."""
        if self._fd is not None:
            with suppress(OSError):
                (self._folder / self.id).unlink()
            os.close(self._fd)
            self._fd = None
