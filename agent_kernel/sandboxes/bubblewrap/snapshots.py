"""Checkpoints of embedded sandboxes: chains of layers.

Where the kernel allows it, a checkpoint makes what has changed since the last one another layer, and the
sandbox goes on above it. Elsewhere, or while a process has a file open for writing, what has changed is
copied, and so is what is little: that takes less time. Files are cloned where the file system can.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from agent_kernel.each import skipped
from agent_kernel.errors import SandboxError, SandboxGone
from agent_kernel.sandboxes.bubblewrap.copying import copy_trees
from agent_kernel.sandboxes.bubblewrap.folder import FILES, find_process
from agent_kernel.sandboxes.bubblewrap.layers import merging
from agent_kernel.sandboxes.bubblewrap.layers.namespaces import LayersBusy, LayersUnavailable
from agent_kernel.sandboxes.bubblewrap.layers.sandbox import (
    PARTS,
    SandboxLayers,
    read_lowers,
    write_lowers,
)
from agent_kernel.sandboxes.bubblewrap.layers.store import (
    CHAIN,
    LayerStore,
    building,
    clear,
    lock,
    note_layer,
)
from agent_kernel.sandboxes.bubblewrap.trees import BLOCK, allocated, walk
from agent_kernel.sandboxes.optional import Snapshot, too_large

log = logging.getLogger(__name__)

LITTLE_FILES, LITTLE = 100, 4 << 20
"""Files and bytes up to which a copy takes less time than to mount an overlay in the sandbox."""


class SnapshotFolders:
    """Checkpoints as folders below `root`. Each appears under its name when it is complete."""

    def __init__(self, root: Path, backend: str, store: LayerStore, layers: SandboxLayers) -> None:
        self._root = root
        self._backend = backend
        self._store = store
        self._layers = layers
        self.layered = True
        """Whether to make layers where the kernel allows it."""

    def take(
        self,
        source: Path,
        id: str,  # noqa: A002 (the field's own word)
        labels: Mapping[str, str],
        most: int | None = None,
    ) -> Snapshot:
        """Keep what a sandbox holds. Raises `SandboxError`; nothing partial is left behind.

        Raises `SandboxGone` if the sandbox is removed before everything is kept.
        """
        try:
            with contextlib.ExitStack() as stack:
                try:
                    chain, copied = self._kept(source, most, stack)
                except FileNotFoundError:
                    raise _removed(source) from None
                except OSError:
                    if not _files(source).exists():
                        raise _removed(source) from None
                    raise
                if most is not None:
                    chain, copied = self._fitting(chain, copied, most, stack)
                return self._record(id, chain, copied, labels)
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                raise SandboxError(f"There is a checkpoint {id} already.") from None
            raise SandboxError(f"The checkpoint could not be written: {error}.") from error

    def _kept(
        self, source: Path, most: int | None, stack: contextlib.ExitStack
    ) -> tuple[tuple[str, ...], Path | None]:
        """Return the layers with what a sandbox holds, and the folder of a copy that is to be the last."""
        held = stack.enter_context(lock(source))
        self._layers.settle(source)
        lowers = read_lowers(source)
        if lowers is not None and self.layered and not (_runs(source) and is_little(_parts(_files(source)))):
            try:
                return self._layers.freeze(source, held), None
            except LayersBusy as busy:
                log.info("A checkpoint of %s copies what has changed: %s.", source.name, busy)
            except LayersUnavailable as reason:
                log.debug("A checkpoint of %s copies what has changed: %s.", source.name, reason)
            lowers = read_lowers(source)  # the step is completed if the sandbox has ended meanwhile
        if most is not None and (size := _size_of_parts(_files(source))) > most:
            raise too_large(size, most)
        part = stack.enter_context(building(self._store.root))
        (part / FILES).mkdir(mode=0o700)
        copy_parts(_files(source), part / FILES)
        if not _files(source).exists():
            raise _removed(source)
        return (*(lowers or ()), self._store.new()), part

    def _fitting(
        self, chain: tuple[str, ...], copied: Path | None, most: int, stack: contextlib.ExitStack
    ) -> tuple[tuple[str, ...], Path | None]:
        """Return layers of at most `most` bytes with the content of `chain`.

        Those are the given ones, or a single one without old versions of files. Raises `SandboxError` if the
        content alone is larger.
        """
        if sum(self._sizes(chain, copied).values()) <= most:
            return chain, copied
        folders = [*map(self._store.files, chain if copied is None else chain[:-1])]
        folders += [] if copied is None else [copied / FILES]
        part = stack.enter_context(building(self._store.root))
        (part / FILES).mkdir(mode=0o700)
        merging.link_merged(folders, (), part / FILES)
        if (size := note_layer(part, 0)["bytes"]) > most:
            raise too_large(size, most)
        return (self._store.new(),), part

    def _sizes(self, chain: Sequence[str], copied: Path | None) -> dict[str, int]:
        if copied is None:
            self._store.check(chain)
            return self._store.sizes(chain)
        return {**self._store.sizes(chain[:-1]), chain[-1]: note_layer(copied, 0)["bytes"]}

    def _record(
        self,
        id: str,  # noqa: A002
        chain: Sequence[str],
        copied: Path | None,
        labels: Mapping[str, str],
    ) -> Snapshot:
        sizes = self._sizes(chain, copied)
        snapshot = Snapshot(id, self._backend, time.time(), sum(sizes.values()), dict(labels), layers=sizes)
        with building(self._root) as part, self._store.locked():
            if copied is not None:
                copied.rename(self._store.root / chain[-1])
            self._store.check(chain)
            (part / CHAIN).write_text(json.dumps({"lowers": list(chain)}))
            (part / "snapshot.json").write_text(json.dumps(asdict(snapshot)))
            part.rename(self._root / id)
        return snapshot

    def fill(self, folder: Path, id: str, *, layered: bool) -> None:  # noqa: A002
        """Let a new sandbox begin with a checkpoint: above its layers, or else, as with little, with a copy.

        Raises `SandboxGone` if there is none, or if it is removed before everything is copied.
        """
        with self._store.locked():
            self._check(id)
            chain = self._chain(id)
            self._check_layers(id, chain or ())
            if chain is not None and layered:
                if self._is_little(chain):
                    self._flatten(chain, folder)
                else:
                    write_lowers(folder, chain)
                return
        if chain is None:  # of an earlier version
            copy_parts(self._root / id, folder / FILES)
        else:
            self._flatten(chain, folder)
        self._check(id)

    def _is_little(self, chain: Sequence[str]) -> bool:
        return len(chain) == 1 and is_little([self._store.files(chain[0])])

    def put_back(self, folder: Path, id: str) -> bool:  # noqa: A002
        """Put the layers of a checkpoint under a running sandbox that is left.

        False, and nothing has changed, if the sandbox or the checkpoint has none or the machine cannot do it.
        Raises `SandboxGone` if there is no such checkpoint, `SandboxError`.
        """
        try:
            with lock(folder) as held:
                self._layers.settle(folder)
                self._check(id)
                chain = self._chain(id)
                self._check_layers(id, chain or ())
                if not chain or not self.layered or read_lowers(folder) is None:
                    return False
                self._layers.go_back(folder, held, chain)
        except (LayersBusy, LayersUnavailable, OSError) as reason:
            log.info("The sandbox %s cannot go back in place: %s.", folder.name, reason)
            return False
        return True

    def unlayer(self, folder: Path) -> None:
        """Copy the layers of a sandbox that cannot have an overlay into its own folder, which is empty."""
        self._flatten(read_lowers(folder) or (), folder)
        write_lowers(folder, ())

    def _flatten(self, chain: Sequence[str], folder: Path) -> None:
        try:
            merging.copy_merged([self._store.files(layer) for layer in chain], folder / FILES)
        except OSError as error:
            raise SandboxError(f"The files could not be copied: {error}.") from error

    def _chain(self, id: str) -> tuple[str, ...] | None:  # noqa: A002
        try:
            return tuple(json.loads((self._root / id / CHAIN).read_text())["lowers"])
        except FileNotFoundError:
            return None

    def _check(self, id: str) -> None:  # noqa: A002
        if not (self._root / id / "snapshot.json").exists():
            raise SandboxGone(f"There is no checkpoint {id}.")

    def _check_layers(self, id: str, chain: Sequence[str]) -> None:  # noqa: A002
        missing = [layer for layer in chain if not self._store.files(layer).is_dir()]
        if missing:
            raise SandboxError(
                f"The checkpoint {id} is damaged: {self._store.files(missing[0])} is missing.",
                hint="Copy a data folder as a whole: snapshots and layers belong together.",
            )

    def all(self) -> list[Snapshot]:
        """Return all complete checkpoints, oldest first."""
        if not self._root.exists():
            return []
        with lock(self._root):
            clear(self._root)
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
            with contextlib.suppress(FileNotFoundError), building(self._root) as part:
                (self._root / id).rename(part)
            self._store.sweep()
        except OSError as error:
            raise SandboxError(f"Some files of the checkpoint {id} could not be removed: {error}.") from error


def _removed(source: Path) -> SandboxGone:
    return SandboxGone(f"The sandbox {source.name} was removed.")


def _files(source: Path) -> Path:
    """Return the folder with what a sandbox writes to. Those of earlier versions have it directly."""
    inside = source / FILES
    return source if not inside.exists() and (source / PARTS[-1]).exists() else inside


def _parts(source: Path) -> Iterator[Path]:
    """Yield the folders that a checkpoint copies. A workspace on a volume is a link to the volume's."""
    return (Path(os.path.realpath(source / part)) for part in PARTS if (source / part).exists())


def is_little(folders: Iterable[Path]) -> bool:
    """Return whether to copy folders takes less time than to mount them.

    False too if a copy would have to change modes meanwhile: other sandboxes may have these very folders.
    """
    files, size = 0, 0
    for folder in folders:
        for step in walk(folder):
            files += 1
            size += step.status.st_blocks * BLOCK
            if files > LITTLE_FILES or size > LITTLE or _keeps_out(step.status.st_mode):
                return False
    return True


def _keeps_out(mode: int) -> bool:
    """Return whether the owner of a file or folder cannot read it."""
    needed = stat.S_IRUSR | (stat.S_IXUSR if stat.S_ISDIR(mode) else 0)
    return (stat.S_ISDIR(mode) or stat.S_ISREG(mode)) and mode & needed != needed


def _runs(source: Path) -> bool:
    """Return whether a sandbox runs. What it has changed becomes a layer without a mount otherwise."""
    process = find_process(source)
    return process is not None and process.alive()


def _size_of_parts(source: Path) -> int:
    return sum(allocated(part) for part in _parts(source))


def copy_parts(source: Path, target: Path) -> None:
    """Copy the folders; links stay links. Raises `SandboxError`."""
    try:
        copy_trees(list(_parts(source)), target)
    except OSError as error:
        raise SandboxError(f"The files could not be copied: {error}.") from error
