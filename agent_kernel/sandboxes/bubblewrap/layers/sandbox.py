"""The layers of one sandbox: those below its own folder of files, and the step that adds that folder to them.

What commands have changed since the last step is in `files`. A step makes `files` a layer, and puts an
overlay with an empty one on top under the sandbox. Going back to a checkpoint is such a step too: the layers
are the checkpoint's, and `files` is removed. A step is written down in `swap.json` before; whoever finds that
file completes the step or takes it back.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from agent_kernel.sandboxes import launch
from agent_kernel.sandboxes.base import WORKSPACE
from agent_kernel.sandboxes.bubblewrap.folder import FILES, find_process, note
from agent_kernel.sandboxes.bubblewrap.layers.namespaces import Entrance, LayersUnavailable, Overlay
from agent_kernel.sandboxes.bubblewrap.layers.squashing import Squashed, squashed
from agent_kernel.sandboxes.bubblewrap.layers.store import RECORD, SWAP, LayerStore, lock
from agent_kernel.sandboxes.bubblewrap.process import Started
from agent_kernel.sandboxes.bubblewrap.trees import remove_tree
from agent_kernel.sandboxes.toolbox import HOME

TARGETS = {"workspace": WORKSPACE, "home": HOME, "state": launch.STATE}
"""Where a sandbox sees the folders that it writes to, which are in `files` under these names."""

PARTS = tuple(TARGETS)

_NEXT, _WORK, _PLACE, _LEFT = "next", "work", "place", "left"

_GONE = "gone-"
"""The prefix of what a step no longer needs. To remove it can take longer than the step."""


def read_lowers(folder: Path) -> tuple[str, ...] | None:
    """Return the layers below a sandbox's `files`, the lowest first.

    None if it can have none: one with a volume, or of an earlier version.
    """
    try:
        return tuple(json.loads((folder / RECORD).read_text())["lowers"])
    except (FileNotFoundError, NotADirectoryError):
        return None


def write_lowers(folder: Path, lowers: Sequence[str]) -> None:
    """Write a sandbox's layers down. The caller holds the lock of the store, unless there are none."""
    note(folder / RECORD, {"lowers": list(lowers)})


class SandboxLayers:
    """Changes sandboxes over to more layers."""

    def __init__(self, store: LayerStore, entrance: Entrance) -> None:
        self._store = store
        self._entrance = entrance

    def begin(self, folder: Path) -> None:
        """Put an overlay of its layers under a sandbox that has not run anything yet.

        Raises `LayersUnavailable`, `LayersBusy`, `OSError`.
        """
        lowers, process = read_lowers(folder), find_process(folder)
        if lowers and process is not None:
            with lock(folder) as held:
                overlay = self._overlay(folder, folder, lowers)
                self._entrance.put(process, overlay, TARGETS, held, check=False)

    def _overlay(self, folder: Path, upper: Path, lowers: Sequence[str], *more: Path) -> Overlay:
        """Return the overlay whose own folder is `upper/files`."""
        for name in (upper / FILES, upper / _WORK, folder / _PLACE):
            name.mkdir(exist_ok=True, mode=0o700)
        below = [*(self._store.files(layer) for layer in lowers), *more]
        return Overlay(below, upper / FILES, upper / _WORK, folder / _PLACE)

    def freeze(self, folder: Path, held: int) -> tuple[str, ...]:
        """Make everything that a sandbox holds layers, and return them. The sandbox goes on above them.

        The caller holds the lock of `folder`, by the descriptor `held`, and has settled it. Raises
        `LayersBusy`, `LayersUnavailable`, `OSError`.
        """
        with squashed(self._store, read_lowers(folder) or ()) as lowers:
            return self._freeze(folder, held, lowers)

    def _freeze(self, folder: Path, held: int, new: Squashed) -> tuple[str, ...]:
        lowers = new.lowers
        process, layer = find_process(folder), self._store.new()
        before = None if process is None else _device(process)
        alive = process is not None and process.alive()
        if alive and before is None:
            raise LayersUnavailable("its mounts cannot be read")
        overlay = self._next(folder, lowers, folder / FILES)
        with self._store.locked():
            new.place()
            note(folder / SWAP, {"lowers": list(lowers), "layer": layer, "before": before})
        if process is not None and alive:
            self._put(folder, process, overlay, held, left=False)
        self._complete(folder)
        return (*lowers, layer)

    def go_back(self, folder: Path, held: int, lowers: Sequence[str]) -> None:
        """Put other layers under a running sandbox that is left, in place of all that it holds.

        The caller holds the lock of `folder`, as in `freeze`. Raises `SandboxGone` (a layer was removed),
        `LayersBusy`, `LayersUnavailable`, `OSError`.
        """
        process = find_process(folder)
        before = None if process is None else _device(process)
        if process is None or before is None or not process.alive():
            raise LayersUnavailable("it has ended")
        overlay = self._next(folder, lowers)
        with self._store.locked():
            self._store.check(lowers)
            note(folder / SWAP, {"lowers": list(lowers), "layer": None, "before": before})
        self._put(folder, process, overlay, held, left=True)
        self._complete(folder)

    def _next(self, folder: Path, lowers: Sequence[str], *more: Path) -> Overlay:
        remove_tree(folder / _NEXT)
        (folder / _NEXT).mkdir(mode=0o700)
        return self._overlay(folder, folder / _NEXT, lowers, *more)

    def _put(self, folder: Path, process: Started, overlay: Overlay, held: int, *, left: bool) -> None:
        try:
            self._entrance.put(process, overlay, TARGETS, held, check=not left, left=left)
        except BaseException:
            self.settle(folder)
            raise

    def settle(self, folder: Path) -> None:
        """Complete an interrupted step, or undo it. The caller holds the lock of `folder`."""
        try:
            swap = json.loads((folder / SWAP).read_text())
        except FileNotFoundError:
            return
        process = find_process(folder)
        alive = process is not None and process.alive()
        if process is not None and _device(process) == swap["before"] and alive:
            (folder / SWAP).unlink()
            remove_tree(folder / _NEXT)
        elif swap["layer"] is None and not alive and not (folder / _LEFT).exists():
            (folder / SWAP).unlink()  # it ended on its way back, and may still have been where it was
            remove_tree(folder / _NEXT)
        else:  # of a sandbox that has ended, nothing is above the new layer yet, or all that is: both will do
            self._complete(folder)

    def _complete(self, folder: Path) -> None:
        """Move the folders to their places. Each move may have been done before."""
        swap = json.loads((folder / SWAP).read_text())
        with self._store.locked():
            aside = folder / _LEFT if swap["layer"] is None else self._store.files(swap["layer"])
            if not aside.exists():
                aside.parent.mkdir(exist_ok=True, mode=0o700)
                (folder / FILES).rename(aside)
            if (folder / _NEXT / FILES).exists():
                (folder / _NEXT / FILES).rename(folder / FILES)
            write_lowers(folder, (*swap["lowers"], *filter(None, [swap["layer"]])))
        self._finished(folder)

    def _finished(self, folder: Path) -> None:
        moved = (folder / _NEXT / _WORK).exists()
        for name in (_LEFT, _WORK) if moved else (_LEFT,):
            with contextlib.suppress(FileNotFoundError):
                (folder / name).rename(folder / f"{_GONE}{secrets.token_hex(4)}")
        if moved:
            (folder / _NEXT / _WORK).rename(folder / _WORK)
        remove_tree(folder / _NEXT)
        (folder / SWAP).unlink()

    def clean(self, folder: Path) -> None:
        """Remove what steps have left in a sandbox's folder. Raises `OSError`."""
        for gone in folder.glob(f"{_GONE}*"):
            remove_tree(gone)


def _device(process: Started) -> int | None:
    """Return the device of the workspace that a sandbox sees; None if it has just ended."""
    try:
        lines = Path(f"/proc/{process.pid}/mountinfo").read_text().splitlines()
    except OSError:
        return None
    found = [words[2] for words in map(str.split, lines) if words[4] == WORKSPACE]
    return os.makedev(*map(int, found[-1].split(":"))) if found else None
