"""Which files a turn wrote to the container, found by comparing two listings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_kernel.kernel.render.files.artifacts import FileListing, snapshot

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.runtime.base import ContainerFiles


@dataclass(frozen=True)
class ChangedFiles:
    """New and changed files by path, and how many there are in all. Deleted ones are not included."""

    files: Sequence[FileCreateResponse]
    count: int


class WrittenFiles:
    """The files that changed since a moment. Make one with `since_now`."""

    def __init__(self, files: ContainerFiles, container_id: str, before: FileListing) -> None:
        self._files = files
        self._container_id = container_id
        self._before = before

    @classmethod
    async def since_now(cls, files: ContainerFiles, container_id: str) -> WrittenFiles:
        """Remember how the container's files are now. Raises what `ContainerFiles.list` raises."""
        return cls(files, container_id, await snapshot(files, container_id))

    async def find(self) -> ChangedFiles:
        """Return what has changed since. Raises what `ContainerFiles.list` raises."""
        changed = (await snapshot(self._files, self._container_id)).changed_since(self._before)
        return ChangedFiles(changed, len(changed))
