"""Checkpoints of embedded sandboxes: copies of the folders that a sandbox writes to.

Files are cloned where the file system can, and copied elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from agent_kernel.each import skipped
from agent_kernel.errors import SandboxError, SandboxGone
from agent_kernel.sandboxes.bubblewrap.copying import copy_trees
from agent_kernel.sandboxes.bubblewrap.folder import REMOVED_FIRST
from agent_kernel.sandboxes.bubblewrap.trees import allocated, remove_tree
from agent_kernel.sandboxes.optional import Snapshot, too_large

PARTS = ("workspace", "home", "state")
"""The folders that a sandbox writes to, and that a checkpoint copies."""

PART = ".part-"
"""The prefix of an incomplete checkpoint's name. No id begins with it."""


class SnapshotFolders:
    """Checkpoints as folders below `root`. Each appears under its name when it is complete.

    Until then its maker holds a lock on the folder. The kernel releases the lock when the maker ends in any
    way, and incomplete folders without a lock are removed.
    """

    def __init__(self, root: Path, backend: str) -> None:
        self._root = root
        self._backend = backend

    def take(
        self,
        source: Path,
        id: str,  # noqa: A002 (the field's own word)
        labels: Mapping[str, str],
        most: int | None = None,
    ) -> Snapshot:
        """Copy a sandbox's folders. Raises `SandboxError`; nothing partial is left behind.

        Raises `SandboxGone` if the sandbox is removed before everything is copied.
        """
        try:
            if most is not None and (size := _size_of_parts(source)) > most:
                raise too_large(size, most)
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._building() as part:
                copy_parts(source, part)
                if not (source / REMOVED_FIRST).exists():
                    raise SandboxGone(f"The sandbox {source.name} was removed.")
                snapshot = Snapshot(id, self._backend, time.time(), allocated(part), dict(labels))
                (part / "snapshot.json").write_text(json.dumps(asdict(snapshot)))
                part.rename(self._root / id)
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                raise SandboxError(f"There is a checkpoint {id} already.") from None
            raise SandboxError(f"The checkpoint could not be written: {error}.") from error
        return snapshot

    @contextlib.contextmanager
    def _building(self) -> Iterator[Path]:
        """Make a locked folder to fill and rename. It is removed at the end if it was not renamed."""
        with contextlib.ExitStack() as ending:
            with _lock(self._root):  # no other process finds it before it is locked
                self._clear()
                part = Path(tempfile.mkdtemp(prefix=PART, dir=self._root))
                ending.enter_context(_lock(part))
            ending.callback(remove_tree, part)
            yield part

    def _clear(self) -> None:
        """Remove the incomplete checkpoints of killed processes."""
        for part in self._root.glob(PART + "*"):
            with (
                skipped(f"The incomplete checkpoint {part.name}"),
                contextlib.suppress(BlockingIOError, FileNotFoundError),
                _lock(part, wait=False),
            ):
                remove_tree(part)

    def fill(self, folder: Path, id: str) -> None:  # noqa: A002
        """Copy a checkpoint into a new sandbox's folders.

        Raises `SandboxGone` if there is none, or if it is removed before everything is copied.
        """
        self._check(id)
        copy_parts(self._root / id, folder)
        self._check(id)

    def _check(self, id: str) -> None:  # noqa: A002
        if not (self._root / id / "snapshot.json").exists():
            raise SandboxGone(f"There is no checkpoint {id}.")

    def all(self) -> list[Snapshot]:
        """Return all complete checkpoints, oldest first."""
        if not self._root.exists():
            return []
        with _lock(self._root):
            self._clear()
        found = []
        for path in self._root.glob("[!.]*/snapshot.json"):
            with (
                skipped(f"The checkpoint {path.parent.name}"),
                contextlib.suppress(FileNotFoundError, NotADirectoryError),  # it was removed while we looked
            ):
                found.append(Snapshot(**json.loads(path.read_text())))
        return sorted(found, key=lambda snapshot: snapshot.created_at)

    def remove(self, id: str) -> None:  # noqa: A002
        """Remove a checkpoint, its name first. Raises `SandboxError` if files are left."""
        try:
            with self._building() as part:
                (self._root / id).rename(part)
        except FileNotFoundError:
            return
        except OSError as error:
            raise SandboxError(f"Some files of the checkpoint {id} could not be removed: {error}.") from error


@contextlib.contextmanager
def _lock(folder: Path, *, wait: bool = True) -> Iterator[int]:
    """Hold a folder's lock.

    Raises `BlockingIOError` if another process holds it and `wait` is false.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield fd
    finally:
        os.close(fd)


def _size_of_parts(source: Path) -> int:
    """Return the bytes on disk of what `copy_parts` copies."""
    return sum(allocated(Path(os.path.realpath(source / part))) for part in PARTS if (source / part).exists())


def copy_parts(source: Path, target: Path) -> None:
    """Copy the folders; links stay links. Raises `SandboxError`.

    A workspace on a volume is itself a link; the folder that it leads to is copied.
    """
    parts = [Path(os.path.realpath(source / part)) for part in PARTS if (source / part).exists()]
    try:
        copy_trees(parts, target)
    except OSError as error:
        raise SandboxError(f"The files could not be copied: {error}.") from error
