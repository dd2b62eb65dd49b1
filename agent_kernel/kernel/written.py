"""Find the files that a turn wrote: ask the runtime, or compare two listings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_kernel.kernel.render.files.artifacts import FileListing, snapshot
from agent_kernel.runtime.base import TracksChanges

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.runtime.base import ContainerFiles


@dataclass(frozen=True)
class ChangedFiles:
    """New and changed files by path, and their total number. Deleted files are not included.

    `known` is false if the runtime no longer has the earlier state to compare with.
    """

    files: Sequence[FileCreateResponse]
    count: int
    known: bool = True


class WrittenFiles:
    """Finds the files that changed since a point in time. Create one with `since_now`.

    If the runtime tracks changes, one call returns the changed files only. Otherwise two listings of the
    newest 1,000 files are compared.
    """

    def __init__(self, files: ContainerFiles, container_id: str, before: str | FileListing) -> None:
        self._files = files
        self._container_id = container_id
        self._before = before

    @classmethod
    async def since_now(cls, files: ContainerFiles, container_id: str) -> WrittenFiles:
        """Record the current state of the container's files. Raises what `ContainerFiles.list` raises."""
        changes = await files.changes(container_id) if isinstance(files, TracksChanges) else None
        before = await snapshot(files, container_id) if changes is None else changes.mark
        return cls(files, container_id, before)

    async def find(self) -> ChangedFiles:
        """Return the files changed since then. Raises what `ContainerFiles.list` raises."""
        if isinstance(self._before, FileListing):
            changed = (await snapshot(self._files, self._container_id)).changed_since(self._before)
            return ChangedFiles(changed, len(changed))
        found = None
        if isinstance(self._files, TracksChanges):
            found = await self._files.changes(self._container_id, since=self._before)
        if found is None or not found.known:
            return ChangedFiles([], 0, known=False)
        return ChangedFiles(found.files, found.count)
