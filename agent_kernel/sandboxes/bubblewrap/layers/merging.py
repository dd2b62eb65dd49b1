"""Several layers as one tree, as an overlay shows them: copied into a folder, or linked into one layer.

The rules are the kernel's. What a higher layer has hides what lower ones have under the name, but folders are
joined, unless the higher one is opaque. A whiteout, a device 0/0, hides a name. Layers are hostile input; see
`trees`.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent_kernel.sandboxes.bubblewrap.copying import TreeCopier, copying, finish
from agent_kernel.sandboxes.bubblewrap.trees import Place, Step

OVERLAY = "user.overlay."
"""The beginning of the names of the attributes that the kernel keeps in layers."""

OPAQUE = OVERLAY + "opaque"


class _Joined:
    """A folder as several layers have it, the highest first. Those from `merged` on are only looked at."""

    def __init__(self, places: list[Place], merged: int) -> None:
        self.places = places
        self.merged = merged
        self.cut = False
        """Whether a layer before `merged` hides what the others have."""

    def files(self, folders: list[tuple[str, int]]) -> Iterator[tuple[int, str, os.stat_result]]:
        """Yield names that are not folders, with the descriptor of their folder; gather folders."""
        for index, place in enumerate(self.places[: self.merged]):
            with os.scandir(place.fd) as entries:
                for entry in entries:
                    if any(_status(above, entry.name) for above in self.places[:index]):
                        continue
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        folders.append((entry.name, index))
                    elif not is_whiteout(status) or self._hides(entry.name):
                        yield place.fd, entry.name, status

    def _hides(self, name: str) -> bool:
        return any(_status(below, name) for below in self.places[self.merged :])

    def enter(self, name: str, highest: int) -> _Joined:
        """Go into a folder, in each layer that shows through."""
        inside: list[Place] = []
        merged, cut = 0, False
        for index, place in enumerate(self.places[highest:], highest):
            status = _status(place, name)
            if status is None:
                continue
            if stat.S_ISDIR(status.st_mode):
                place.down(name)
                inside.append(place)
                merged += index < self.merged
            if not stat.S_ISDIR(status.st_mode) or _is_opaque(place.fd):
                cut = index < self.merged
                break
        joined = _Joined(inside, merged)
        joined.cut = cut
        return joined


def is_whiteout(status: os.stat_result) -> bool:
    """Return whether this is what hides a name of lower layers."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _status(place: Place, name: str) -> os.stat_result | None:
    try:
        return os.lstat(name, dir_fd=place.fd)
    except FileNotFoundError:
        return None


def _is_opaque(folder: int) -> bool:
    try:
        return os.getxattr(folder, OPAQUE) == b"y"
    except OSError:
        return False


def walk_merged(layers: Sequence[Path], below: Sequence[Path] = ()) -> Iterator[tuple[Step, bool]]:
    """Walk through what `layers`, the lowest first, show together. Raises `OSError`.

    With each step comes whether it enters a folder that hides what lies below. Whiteouts are left out, except
    those that hide something in the layers `below`.
    """
    paths = [*reversed(layers)], [*reversed(below)]
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(Place(path)) for path in (*paths[0], *paths[1])]
        joined = _Joined(places, len(paths[0]))
        pending = [(joined, _children(joined))]
        entered: list[tuple[str, os.stat_result]] = []
        while pending:
            joined, children = pending[-1]
            child = next(children, None)
            if child is None:
                pending.pop()
                if pending:
                    for place in joined.places:
                        place.up()
                    yield Step("leave", pending[-1][0].places[0].fd, *entered.pop()), False
                continue
            folder, name, status, highest = child
            if highest is None:
                yield Step("file", folder, name, status), False
                continue
            inside = joined.enter(name, highest)
            entered.append((name, status))
            pending.append((inside, _children(inside)))
            yield Step("enter", inside.places[0].fd, name, status), inside.cut


def _children(joined: _Joined) -> Iterator[tuple[int, str, os.stat_result, int | None]]:
    """Yield the files of a folder, then its folders with the number of the highest layer that has each."""
    folders: list[tuple[str, int]] = []
    for folder, name, status in joined.files(folders):
        yield folder, name, status, None
    for name, highest in folders:
        place = joined.places[highest]
        yield place.fd, name, os.lstat(name, dir_fd=place.fd), highest


def copy_merged(layers: Sequence[Path], target: Path) -> None:
    """Copy what layers show together into the folder `target`. Raises `OSError`."""
    with copying(target) as copier:
        _build(layers, (), target, copier, linked=False)


def link_merged(layers: Sequence[Path], below: Sequence[Path], target: Path) -> None:
    """Make the folder `target` one layer that has the effect of `layers` above the layers `below`.

    Files are not copied but get one more link. Raises `OSError`.
    """
    with copying(target) as copier:
        _build(layers, below, target, copier, linked=True)


def _build(
    layers: Sequence[Path], below: Sequence[Path], target: Path, copier: TreeCopier, *, linked: bool
) -> None:
    with Place(target) as here:
        for step, cut in walk_merged(layers, below):
            if step.kind == "enter":
                with contextlib.suppress(FileExistsError):  # the folders at the top may be there
                    os.mkdir(step.name, 0o700, dir_fd=here.fd)
                here.down(step.name)
                copier.attributes(step.folder, here.fd, but=OVERLAY)
                if cut and linked:
                    os.setxattr(here.fd, OPAQUE, b"y")
            elif step.kind == "leave":
                left = os.dup(here.fd)
                try:
                    here.up()
                    finish(left, step.status)
                finally:
                    os.close(left)
            elif not (linked and _linked(step, here.fd)):
                copier.file(step, here.fd)


def _linked(step: Step, folder: int) -> bool:
    """Link a file, and return whether that could be done: each has a most of links."""
    try:
        os.link(step.name, step.name, src_dir_fd=step.folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True
