"""The user's files, checked before they are sent: plain files only, never through a link.

The kernel opens only files that the user named in a cell, never a name that came from a model.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.transfer.patterns import matches

CHUNK = 1 << 20
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


@dataclass(frozen=True)
class HostFile:
    """A plain file when it was checked: `size` in bytes; `mark` changes whenever the file is written."""

    path: Path
    size: int
    mark: tuple[int, ...]


def expanded(word: str) -> Path:
    """Return the path for a word in a cell, with `~` expanded. A relative path stays relative."""
    return Path(word).expanduser() if word.startswith("~") else Path(word)


def look(path: Path) -> HostFile | None:
    """Return the plain file at `path`; None for a folder.

    Raises `InvalidRequest` for a missing file (suggesting the nearest names), a link, a pipe or a device.
    """
    for part in _parts_below_here(path):
        if part.is_symlink():
            raise InvalidRequest(
                f"{part} is a symbolic link, and links are not followed.",
                hint=f"Use the file that it points to: {os.path.realpath(path)}",
            )
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InvalidRequest(f"There is no file {path}.", hint=_nearest(path)) from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        return None
    kind = next((words for test, words in _KINDS if test(status.st_mode)), None)
    if kind or not stat.S_ISREG(status.st_mode):
        raise InvalidRequest(
            f"{path} is not a plain file but {kind or 'something else'}.",
            hint="Copy the data you need into a plain file.",
        )
    return HostFile(path, status.st_size, _mark(status))


def _parts_below_here(path: Path) -> Iterator[Path]:
    """Yield the path itself and, if it is relative, the folders along it."""
    yield path
    if not path.is_absolute():
        yield from (parent for parent in path.parents if parent.name not in ("", ".."))


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _nearest(path: Path) -> str:
    """Return a sentence that helps the user to find the right name."""
    try:
        names = os.listdir(path.parent)
    except OSError:
        return f"There is no folder {path.parent} in {Path.cwd()} either."
    import difflib  # here, because no start needs it

    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    if near:
        return "Did you mean " + " or ".join(str(path.parent / name) for name in near) + "?"
    return f"Relative paths start at {Path.cwd()}."


@dataclass(frozen=True)
class Found:
    """The result of a folder walk: plain files, and the number of skipped entries of each kind."""

    files: list[HostFile]
    left_out: dict[str, int]


def walk(folder: Path, *, most: int, pattern: Sequence[str] = ("**", "*")) -> Found:
    """Return the plain files below a folder that match the pattern's parts, sorted by path.

    Hidden files that the pattern does not name, links, pipes and devices are counted, not returned. Raises
    `InvalidRequest` if there are more than `most` files, or if one cannot be read.
    """
    found = Found([], {})
    unread: list[OSError] = []
    for base, folders, names in os.walk(folder, onerror=unread.append):
        above = Path(base).relative_to(folder).parts
        deeper = "**" in pattern or len(above) + 1 < len(pattern)
        folders[:] = [name for name in sorted(folders) if deeper and _taken(Path(base, name), found)]
        for name in sorted(names):
            path, named = Path(base, name), matches((*above, name), pattern)
            hides = name.startswith(".") and pattern == ("**", "*")
            file = look(path) if (named or hides) and _taken(path, found, hidden=named) else None
            if file is not None:
                found.files.append(file)
        if len(found.files) > most:
            raise InvalidRequest(
                f"There are more than {most:,} files in {folder}. Nothing was uploaded.",
                hint="Name the files you need, pack them into an archive, or raise KernelSettings.max_files.",
            )
    if unread:
        raise _unreadable(Path(str(unread[0].filename)), unread[0])
    return found


def _taken(path: Path, found: Found, *, hidden: bool = False) -> bool:
    """Return whether to take an entry: a plain file or folder, not hidden unless `hidden`. Count others."""
    why = None
    if path.name.startswith(".") and not hidden:
        why = "hidden"
    else:
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            why = "linked" if stat.S_ISLNK(mode) else "no plain file"
    if why:
        found.left_out[why] = found.left_out.get(why, 0) + 1
    return why is None


async def read_chunks(file: HostFile) -> AsyncGenerator[bytes, None]:
    """Yield the file's bytes, read in a thread.

    Raises `InvalidRequest` if it cannot be read, or is no longer the file that was checked.
    """
    try:
        opened = await asyncio.to_thread(_open, file)
    except OSError as error:
        raise _unreadable(file.path, error) from error
    with closing(opened):
        while chunk := await asyncio.to_thread(opened.read, CHUNK):
            yield chunk
        if _mark(os.fstat(opened.fileno())) != file.mark:
            raise InvalidRequest(
                f"{file.path} was changed while it was read.", hint="Run the cell again when it is complete."
            )


def _open(file: HostFile) -> BinaryIO:
    # Never follow a link and never block: the file may have been replaced since it was checked.
    descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    opened = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        opened.close()
        raise OSError(0, "it is no longer a plain file")
    return opened


def _unreadable(path: Path, error: Exception) -> InvalidRequest:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return InvalidRequest(f"{path} cannot be read: {why}.", hint="Check its name and its permissions.")
