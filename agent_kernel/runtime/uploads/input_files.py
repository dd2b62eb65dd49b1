"""Puts uploaded files where the code runs, as OpenAI's `code_interpreter` has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from openai.types import FileObject

from agent_kernel.errors import NotFound
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.uploads.uploaded_files import LocalFiles, container_path
from agent_kernel.sandboxes.base import WORKSPACE


class InputFiles:
    """Copies one tenant's uploaded files into its containers, each as `/mnt/data/<file_id>-<filename>`."""

    def __init__(self, files: LocalFiles, containers: LocalContainers) -> None:
        self._files = files
        self._containers = containers

    async def put(self, container_id: str, file_ids: Sequence[str], attached: Iterable[str]) -> None:
        """Copy the files that the container does not have; what is there stays as it is.

        `file_ids` are those of the request's container, `attached` those of the conversation, of which some
        may have been deleted since. Raises `NotFound` for one of `file_ids` that neither exists nor is there,
        and as `ContainerFiles.create`.
        """
        known: dict[str, FileObject] = {}
        for file_id in dict.fromkeys([*file_ids, *attached]):
            try:
                known[file_id] = await self._files.retrieve(file_id)
            except NotFound:
                if file_id in file_ids and not await self._has(container_id, file_id):
                    raise
        paths = {file_id: f"{WORKSPACE}/{container_path(file)}" for file_id, file in known.items()}
        if not paths:
            return
        there = await self._containers.files.ids(container_id, list(paths.values()))
        for file_id, path in paths.items():
            if there[path] is None:
                await self._files.copy(file_id, container_id, self._containers.files, prefixed=True)

    async def _has(self, container_id: str, file_id: str) -> bool:
        """Return whether the copy of a file that was deleted since is there."""
        async with self._containers.use(container_id) as channel:
            found = await channel.list(WORKSPACE)
        return any(each.path.startswith(f"{WORKSPACE}/{file_id}-") for each in found)
