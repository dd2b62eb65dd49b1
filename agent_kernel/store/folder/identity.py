"""An id for a data folder."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

FILE = "folder-id"


def folder_id(folder: Path) -> str:
    """Return the id of a folder, making it on first use. Of several processes that make it, one succeeds.

    Raises `OSError` if the folder cannot be written.
    """
    path = folder / FILE
    with suppress(FileNotFoundError):
        return path.read_text("ascii")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = folder / f".{FILE}-{uuid.uuid4().hex}"
    fd = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.write(fd, uuid.uuid4().hex.encode())
        with suppress(FileExistsError):
            os.link(partial, path)
    finally:
        os.close(fd)
        partial.unlink()
    return path.read_text("ascii")
