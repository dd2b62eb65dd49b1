"""Named volumes of embedded sandboxes: folders that outlive the sandboxes whose workspace they are."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from agent_kernel.errors import SandboxError
from agent_kernel.sandboxes.base import VOLUME_NAME
from agent_kernel.sandboxes.bubblewrap.trees import remove_tree
from agent_kernel.sandboxes.optional import Volume

WORKSPACE_PART = "workspace"


class VolumeFolders:
    """Volumes as folders below `root`. The workspace of a sandbox with a volume is a link to its folder."""

    def __init__(self, root: Path, backend: str) -> None:
        self._root = root
        self._backend = backend

    def attach(self, name: str, sandbox: Path) -> None:
        """Make a volume the workspace of a sandbox that is being made.

        An empty volume receives the files that the sandbox begins with.
        """
        folder = self._root / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        files, own = folder / WORKSPACE_PART, sandbox / WORKSPACE_PART
        files.mkdir(exist_ok=True)
        if not any(files.iterdir()):
            for entry in own.iterdir():
                os.rename(entry, files / entry.name)
        remove_tree(own)
        own.symlink_to(files)

    def all(self) -> list[Volume]:
        """Return all volumes, oldest first."""
        folders = [folder for folder in self._root.glob("*") if VOLUME_NAME.fullmatch(folder.name)]
        found = [Volume(folder.name, self._backend, folder.stat().st_ctime) for folder in folders]
        return sorted(found, key=lambda volume: volume.created_at)

    def remove(self, name: str, alive: Iterable[Path]) -> None:
        """Remove a volume with its files. `alive` are folders in which living sandboxes have their workspace.

        Raises `SandboxError` while one of them uses it.
        """
        if not VOLUME_NAME.fullmatch(name):
            return
        folder = self._root / name
        users = [sandbox / WORKSPACE_PART for sandbox in alive]
        if any(user.is_symlink() and user.readlink() == folder / WORKSPACE_PART for user in users):
            raise SandboxError(f"The volume {name} is in use.", hint="End its sandbox first.")
        try:
            remove_tree(folder)
        except OSError as error:
            raise SandboxError(f"The volume {name} could not be removed: {error}.") from error
