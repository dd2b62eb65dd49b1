"""Which files a turn wrote to the container: asked of the runtime, or found by comparing two lists."""

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
    """New and changed files by path, and how many there are in all. Deleted ones are not included.

    `known` is false when the runtime has forgotten how the files were before.
    """

    files: Sequence[FileCreateResponse]
    count: int
    known: bool = True


class WrittenFiles:
    """The files that changed since a moment. Make one with `since_now`.

    A runtime that tracks changes is asked for them: one call, and only what changed is transferred. With any
    other, two lists of the newest 1,000 files are compared.
    """

    def __init__(self, files: ContainerFiles, container_id: str, before: str | FileListing) -> None:
        self._files = files
        self._container_id = container_id
        self._before = before

    @classmethod
    async def since_now(cls, files: ContainerFiles, container_id: str) -> WrittenFiles:
        """Remember how the container's files are now. Raises what `ContainerFiles.list` raises."""
        changes = await files.changes(container_id) if isinstance(files, TracksChanges) else None
        before = await snapshot(files, container_id) if changes is None else changes.mark
        return cls(files, container_id, before)

    async def find(self) -> ChangedFiles:
        """Return what has changed since. Raises what `ContainerFiles.list` raises."""
        if isinstance(self._before, FileListing):
            changed = (await snapshot(self._files, self._container_id)).changed_since(self._before)
            return ChangedFiles(changed, len(changed))
        found = None
        if isinstance(self._files, TracksChanges):
            found = await self._files.changes(self._container_id, since=self._before)
        if found is None or not found.known:
            return ChangedFiles([], 0, known=False)
        return ChangedFiles(found.files, found.count)
