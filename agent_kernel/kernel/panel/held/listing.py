"""The container's files by the names that the panel shows, and the folders that they are in.

A server of the API lists files only, newest first; folders are what their paths say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.runtime.base import ContainerFiles

MOST_FILES = 2_000
"""The newest files that are looked at on a server that gives 100 at a time."""

LONGEST_PATH = 20_000
"""Characters of a path: each character of a name may be spelled with several."""

KEPT_SECONDS = 5.0
"""Seconds for which a listing serves uploads and later pages."""


@dataclass(frozen=True)
class Listing:
    """The files of a container at one time, by shown path. `complete` is false if there were more."""

    container_id: str = ""
    files: dict[str, FileCreateResponse] = field(default_factory=dict)
    complete: bool = True
    began: float = 0.0

    @property
    def paths(self) -> set[str]:
        """The paths of the files, and of the folders that they are in."""
        found = set(self.files)
        for path in self.files:
            while (path := path.rpartition("/")[0]) and path not in found:
                found.add(path)
        return found

    def find(self, path: str, hint: str = "") -> FileCreateResponse:
        """Return a file. Raises `InvalidRequest` with the hint if there is none."""
        if (file := self.files.get(path)) is None:
            raise missing(path, hint)
        return file

    def below(self, folder: str) -> dict[str, FileCreateResponse]:
        """Return the files in a folder and in those below it, by shown path."""
        start = f"{folder}/" if folder else ""
        return {path: file for path, file in self.files.items() if path.startswith(start)}


def missing(path: str, hint: str = "") -> InvalidRequest:
    """Return the error for a path that is not in the container."""
    hint = hint or "It may be gone: refresh the list."
    return InvalidRequest(f"{path[:200]} is not in the container.", hint=hint)


def spelled(path: str) -> str:
    r"""Return a path that can be shown and sent: other characters are written as `\u{...}`."""
    return path if path.isprintable() else "".join(map(_spelled, path))


def _spelled(character: str) -> str:
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"


class KeptListing:
    """The newest listing of the notebook's container."""

    def __init__(self) -> None:
        self.changes = 0
        """How often pages have changed the files."""
        self._kept = Listing()
        self._lock = asyncio.Lock()

    async def get(self, notebook: Notebook, *, kept: bool = False) -> Listing:
        """Return the files; none if there is no container yet. `kept` allows a listing of before.

        Raises what `ContainerFiles.list` raises. Starts no container.
        """
        asked, container_id = time.monotonic(), notebook.container.id
        if notebook.opened is None or container_id is None:
            return Listing()
        oldest = asked - KEPT_SECONDS if kept else asked
        async with self._lock:  # a listing that began meanwhile serves all that waited for it
            if self._kept.container_id != container_id or self._kept.began < oldest:
                self._kept = await _listed(notebook, container_id)
            return self._kept

    async def find(self, notebook: Notebook, path: str, hint: str = "") -> FileCreateResponse:
        """Return a file as it is now. Raises `InvalidRequest` with the hint if there is none."""
        listing = await self.get(notebook, kept=True)
        if path not in listing.files:  # it may be new
            listing = await self.get(notebook)
        return await fresh(notebook, path, listing.find(path, hint))

    def add(self, path: str, file: FileCreateResponse) -> None:
        """Add a file that a page has written since the kept listing began."""
        if self._kept.container_id == file.container_id:
            self._kept.files[path] = file

    def forget(self) -> None:
        """List again at the next call: a page has changed the files."""
        self._kept = Listing()
        self.changes += 1


async def _listed(notebook: Notebook, container_id: str) -> Listing:
    from agent_kernel.kernel.render.files.artifacts import short_path
    from agent_kernel.runtime.front_ends import ListsAllFiles

    began, found = time.monotonic(), dict[str, "FileCreateResponse"]()
    files = (await notebook.runtime()).containers.files
    listed = files.all if isinstance(files, ListsAllFiles) else partial(_newest, files)
    listed_files, complete = await listed(container_id)
    for file in listed_files:
        shown = spelled(short_path(file.path))
        while shown in found:  # a file has the spelling of another one as its name
            shown += "~"
        found[shown] = file
    return Listing(container_id, found, complete, began)


async def _newest(files: ContainerFiles, container_id: str) -> tuple[list[FileCreateResponse], bool]:
    """Return the newest files of a server that gives 100 at a time, and whether these are all."""
    from agent_kernel.kernel.render.files.artifacts import listed

    found: list[FileCreateResponse] = []
    async for file in listed(files, container_id):
        if len(found) == MOST_FILES:
            return found, False
        found.append(file)
    return found, True


def named(found: Sequence[Any], text: str) -> list[Any]:
    """Return the entries whose names have this text, in capitals or not."""
    wanted = text.casefold()
    return [each for each in found if wanted in each["path"].rpartition("/")[2].casefold()]


def entries(files: Mapping[str, FileCreateResponse], folder: str, changed: Collection[str]) -> list[Any]:
    """Return what is directly in a folder: folders first, each by name.

    `files` are those below the folder, `changed` the paths in the container that the last turn wrote. A
    folder has the size and the number of the files in it.
    """
    skipped = len(folder) + 1 if folder else 0
    folders: dict[str, dict[str, Any]] = {}
    plain = []
    for path, file in files.items():
        name, slash, _ = path[skipped:].partition("/")
        entry = described(path, file, changed)
        if not slash:
            plain.append(entry)
            continue
        inside = folders.setdefault(name, {**entry, "path": path[:skipped] + name, "bytes": 0, "files": 0})
        inside["bytes"] += file.bytes
        inside["files"] += 1
        inside["modified"] = max(inside["modified"], entry["modified"])
        inside["changed"] |= entry["changed"]
    return [*sorted(folders.values(), key=_by_name), *sorted(plain, key=_by_name)]


def described(path: str, file: FileCreateResponse, changed: Collection[str]) -> dict[str, Any]:
    """Return a file as an entry: shown path, bytes, time of change in seconds since 1970."""
    from agent_kernel.kernel.render.files.artifacts import modified_ns

    return {
        "path": path,
        "bytes": file.bytes,
        "modified": modified_ns(file) / 1e9,
        "changed": file.path in changed,
    }


def _by_name(entry: Mapping[str, Any]) -> tuple[str, str]:
    return entry["path"].casefold(), entry["path"]


async def fresh(notebook: Notebook, path: str, file: FileCreateResponse) -> FileCreateResponse:
    """Return a listed file as it is now. Raises `InvalidRequest` if it is gone."""
    files = (await notebook.runtime()).containers.files
    try:
        return await files.retrieve(file.container_id, file.id)
    except NotFound:
        raise missing(path) from None
