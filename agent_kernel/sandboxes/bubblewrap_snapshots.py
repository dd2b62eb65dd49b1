"""Checkpoints of embedded sandboxes: copies of the folders that a sandbox writes to.

Files are cloned where the file system can (`cp --reflink=auto`), and copied elsewhere.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from agent_kernel.errors import SandboxError, SandboxGone
from agent_kernel.sandboxes.base import Snapshot

PARTS = ("workspace", "home", "state")
"""What a sandbox writes to, and so what a checkpoint is made of."""


class Snapshots:
    """Checkpoints in folders below `root`, one each; a file `snapshot.json` makes one complete."""

    def __init__(self, root: Path, backend: str) -> None:
        self._root = root
        self._backend = backend

    def take(self, source: Path, id: str, labels: Mapping[str, str]) -> Snapshot:  # noqa: A002
        """Copy a sandbox's folders. Raises `SandboxError`; nothing partial is left behind."""
        folder = self._root / id
        try:
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.mkdir(mode=0o700)
        except FileExistsError:
            raise SandboxError(f"There is a checkpoint {id} already.") from None
        try:
            copy_parts(source, folder)
            snapshot = Snapshot(id, self._backend, time.time(), _size(folder), dict(labels))
            (folder / "snapshot.json").write_text(json.dumps(asdict(snapshot)))
        except BaseException:
            remove_tree(folder)
            raise
        return snapshot

    def fill(self, folder: Path, id: str) -> None:  # noqa: A002
        """Begin a sandbox's folders with a checkpoint's. Raises `SandboxGone` if there is none."""
        if not (self._root / id / "snapshot.json").exists():
            raise SandboxGone(f"There is no checkpoint {id}.")
        copy_parts(self._root / id, folder)

    def all(self) -> list[Snapshot]:
        """All complete checkpoints, oldest first."""
        found = [
            Snapshot(**json.loads(path.read_text())) for path in sorted(self._root.glob("*/snapshot.json"))
        ]
        return sorted(found, key=lambda snapshot: snapshot.created_at)

    def remove(self, id: str) -> None:  # noqa: A002
        """Remove a checkpoint, its mark first."""
        (self._root / id / "snapshot.json").unlink(missing_ok=True)
        remove_tree(self._root / id)


def copy_parts(source: Path, target: Path) -> None:
    """Copy the folders, links in them as links. Raises `SandboxError` in the words of `cp`.

    A workspace on a volume is itself a link, and what it leads to is copied.
    """
    parts = [os.path.realpath(source / part) for part in PARTS if (source / part).exists()]
    done = subprocess.run(
        ["cp", "--archive", "--reflink=auto", *parts, str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SandboxError(f"The files could not be copied: {done.stderr.strip()[:300]}.")


def remove_tree(folder: Path) -> None:
    """Remove a folder, also where a command has closed folders in it to its own user.

    Somebody else may be removing it at the same time.
    """

    def open_up(function: Callable[[str], object], path: str, error: tuple[object, ...]) -> None:
        if isinstance(error[1], FileNotFoundError):
            return
        os.chmod(os.path.dirname(path), stat.S_IRWXU)
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, stat.S_IRWXU)
            shutil.rmtree(path, onerror=open_up)
        elif function is not os.rmdir:
            os.unlink(path)

    if folder.exists():
        shutil.rmtree(folder, onerror=open_up)


def _size(folder: Path) -> int:
    return sum(
        os.lstat(os.path.join(path, name)).st_size for path, _, names in os.walk(folder) for name in names
    )
