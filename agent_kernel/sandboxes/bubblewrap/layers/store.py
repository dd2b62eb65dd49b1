"""The layers of checkpoints and sandboxes, as folders: each is written once and then only read.

A layer belongs to whoever names it: the `chain.json` of a checkpoint, or the `layers.json` or `swap.json` of
a sandbox. One that nobody names is removed by the next `sweep`. Names are written, and layers removed, only
while the lock is held.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent_kernel.each import skipped
from agent_kernel.errors import SandboxGone
from agent_kernel.sandboxes.bubblewrap.folder import FILES, note
from agent_kernel.sandboxes.bubblewrap.trees import allocated, remove_tree

CHAIN = "chain.json"
"""The file of a checkpoint with the names of its layers, the lowest first."""

RECORD = "layers.json"
"""The file of a sandbox with its layers."""

SWAP = "swap.json"
"""The file of a sandbox that is changing over to more layers."""

PART = ".part-"
"""The prefix of an incomplete folder's name. No id begins with it."""


@contextlib.contextmanager
def lock(folder: Path, *, wait: bool = True) -> Iterator[int]:
    """Hold a folder's lock. Raises `BlockingIOError` if somebody holds it and `wait` is false."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def building(root: Path) -> Iterator[Path]:
    """Make a locked folder below `root` to fill and rename. It is removed at the end if it was not renamed.

    The kernel releases the lock when the maker ends in any way; incomplete folders without one are removed.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.ExitStack() as ending:
        with lock(root):  # no other process finds it before it is locked
            clear(root)
            part = Path(tempfile.mkdtemp(prefix=PART, dir=root))
            ending.enter_context(lock(part))
        ending.callback(remove_tree, part)
        yield part


def clear(root: Path) -> None:
    """Remove the incomplete folders of killed processes. The caller holds the lock of `root`."""
    for part in root.glob(PART + "*"):
        with (
            skipped(f"The incomplete folder {part.name}"),
            contextlib.suppress(BlockingIOError, FileNotFoundError),
            lock(part, wait=False),
        ):
            remove_tree(part)


class LayerStore:
    """Layers below the data folder, next to its sandboxes and checkpoints."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / "layers"
        self._holders = {data_dir / "snapshots": (CHAIN,), data_dir / "sandboxes": (RECORD, SWAP)}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock under which layers are named and removed."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with lock(self.root):
            yield

    def new(self) -> str:
        """Return a name for a layer."""
        return f"layer_{secrets.token_hex(12)}"

    def files(self, layer: str) -> Path:
        """Return the folder with a layer's files."""
        return self.root / layer / FILES

    def check(self, layers: Sequence[str]) -> None:
        """Raise `SandboxGone` if one of the layers was removed."""
        if not all(self.files(layer).is_dir() for layer in layers):
            raise SandboxGone("The files of the sandbox were removed.")

    def sizes(self, layers: Sequence[str]) -> dict[str, int]:
        """Return the bytes on disk of layers. Each is measured once. Raises `OSError`."""
        return {layer: self._note(layer)["bytes"] for layer in layers}

    def level(self, layer: str) -> int:
        """Return how often what a layer has was merged. Raises `OSError`."""
        return self._note(layer)["level"]

    def _note(self, layer: str) -> dict[str, int]:
        path = self.root / layer / "layer.json"
        with contextlib.suppress(FileNotFoundError):
            content: dict[str, int] = json.loads(path.read_text())
            return content
        return note_layer(path.parent, 0)

    def sweep(self) -> None:
        """Remove the layers that nothing names. Raises `OSError` for the first that cannot be."""
        if not self.root.exists():
            return
        with contextlib.ExitStack() as removing, self.locked():
            clear(self.root)
            named = self._named()
            for folder in self.root.glob("[!.]*"):
                if folder.name not in named:
                    part = folder.with_name(f"{PART}{folder.name}")
                    folder.rename(part)
                    removing.callback(remove_tree, part)

    def _named(self) -> set[str]:
        named: set[str] = set()
        for holders, files in self._holders.items():
            for holder in holders.glob("*"):
                for name in files:
                    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                        content = json.loads((holder / name).read_text())
                        named.update(content["lowers"], filter(None, [content.get("layer")]))
        return named


def note_layer(folder: Path, level: int) -> dict[str, int]:
    """Measure a layer and write that down. `level` is how often its content was merged. Raises `OSError`."""
    content = {"bytes": allocated(folder / FILES), "level": level}
    note(folder / "layer.json", content)
    return content
