"""`%upload`: files of the person's, from the kernel's working directory into the container."""

from __future__ import annotations

import asyncio
import glob
import shlex
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from agent_kernel.errors import InvalidRequest, TooLarge
from agent_kernel.kernel.text import size

CHUNK = 1 << 20


@dataclass(frozen=True)
class Upload:
    """A file that was found and may be sent: `size` in bytes, as it was when it was looked at."""

    path: Path
    size: int


def find_uploads(arguments: str, *, limit: int) -> list[Upload]:
    """The files that the arguments name: paths, quoted where they have spaces, or patterns (`data/*.csv`).

    Nothing is read. Raises `InvalidRequest` for what is missing or no plain file, `TooLarge` for what is over
    `limit` bytes.
    """
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        raise InvalidRequest(f"The arguments of %upload cannot be read: {error}.") from error
    if not words:
        raise InvalidRequest("%upload needs the path of a file.", mend="For example: %upload data/table.csv")
    uploads = [_checked(path, limit) for word in words for path in _paths(word)]
    names = [upload.path.name for upload in uploads]
    double = next((name for name in names if names.count(name) > 1), None)
    if double:
        raise InvalidRequest(
            f"Two of the files are called {double}; in /mnt/data one would replace the other."
        )
    return uploads


def _paths(word: str) -> list[Path]:
    path = Path(word).expanduser()
    if path.exists() or not glob.has_magic(word):
        return [path]
    found = sorted(Path(name) for name in glob.glob(str(path)))
    if not found:
        raise InvalidRequest(f"No file matches {word} in {Path.cwd()}.")
    return found


def _checked(path: Path, limit: int) -> Upload:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise InvalidRequest(
            f"There is no file {path}.", mend=f"Relative paths are taken from {Path.cwd()}."
        ) from error
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error
    if stat.S_ISDIR(status.st_mode):
        raise InvalidRequest(f"{path} is a directory.", mend=f"Name its files: %upload {path}/*")
    if not stat.S_ISREG(status.st_mode):
        raise InvalidRequest(f"{path} is not a plain file.")
    if status.st_size > limit:
        raise TooLarge(
            f"{path} has {size(status.st_size)}; one upload may have {size(limit)}. Nothing was uploaded.",
            mend="Upload it compressed or in parts, or raise KernelSettings.max_upload.",
        )
    return Upload(path, status.st_size)


async def read_chunks(upload: Upload) -> AsyncIterator[bytes]:
    """The file's bytes, read in a thread. Raises `InvalidRequest` if it cannot be read."""
    try:
        file = await asyncio.to_thread(upload.path.open, "rb")
    except OSError as error:
        raise InvalidRequest(f"{upload.path} cannot be read: {error.strerror}.") from error
    with file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk
