"""Unix sockets in folders with long names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def reachable(folder: Path) -> Iterator[str]:
    """Yield a short path for a folder with sockets, because a socket's path is limited to 107 bytes."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)
