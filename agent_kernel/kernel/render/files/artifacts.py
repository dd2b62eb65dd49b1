"""Find the files that a turn wrote to the container by comparing two listings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.runtime.base import ContainerFiles

WORKSPACE = PurePosixPath("/mnt/data")
LISTED = 1000
"""The number of files, newest first, in a snapshot."""


@dataclass(frozen=True)
class FileListing:
    """The files of a container at one time, by path. `complete` is false if the list was cut."""

    files: Mapping[str, FileCreateResponse]
    complete: bool = True

    def changed_since(self, before: FileListing) -> list[FileCreateResponse]:
        """Return new and changed files, sorted by path. Deleted files are not included."""
        newest = max((modified_ns(file) for file in before.files.values()), default=0)

        def changed(path: str, file: FileCreateResponse) -> bool:
            if path in before.files:
                return _signature(before.files[path]) != _signature(file)
            return before.complete or modified_ns(file) >= newest

        return [file for path, file in sorted(self.files.items()) if changed(path, file)]


def _extension(file: FileCreateResponse) -> Mapping[str, Any]:
    found = (file.model_extra or {}).get("agent_kernel")
    return found if isinstance(found, Mapping) else {}


def modified_ns(file: FileCreateResponse) -> int:
    """Return the time of change in ns since 1970; other servers know seconds only."""
    return int(_extension(file).get("modified_ns") or file.created_at * 1_000_000_000)


def _signature(file: FileCreateResponse) -> tuple[Any, ...]:
    return (file.bytes, file.created_at, _extension(file).get("modified_ns"))


async def listed(files: ContainerFiles, container_id: str) -> AsyncIterator[FileCreateResponse]:
    """Yield all files of a container, newest first, page by page."""
    after: str | None = None
    while True:
        page = await files.list(container_id, after=after, limit=100)
        for file in page.data:
            yield file
        if not page.has_more or not page.data:
            return
        after = page.data[-1].id


async def snapshot(files: ContainerFiles, container_id: str) -> FileListing:
    """Return the newest `LISTED` files. Raises what `ContainerFiles.list` raises."""
    found: dict[str, FileCreateResponse] = {}
    async for file in listed(files, container_id):
        if len(found) == LISTED:
            return FileListing(found, complete=False)
        found[file.path] = file
    return FileListing(found)


def short_path(path: str) -> str:
    """Return the path as written by commands in the workspace."""
    pure = PurePosixPath(path)
    return str(pure.relative_to(WORKSPACE)) if pure.is_relative_to(WORKSPACE) else path
