"""Fewer layers with the same content, so that lookups stay fast: an overlay asks each layer in turn."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_kernel.sandboxes.bubblewrap.folder import FILES
from agent_kernel.sandboxes.bubblewrap.layers.merging import link_merged
from agent_kernel.sandboxes.bubblewrap.layers.store import LayerStore, building, note_layer

RUN = 16
"""So many layers in a row that were merged equally often become one. The lowest of all stays as it is.

A file gets one more link in each merge; 16 times as many checkpoints are one more merge for it.
"""


@dataclass
class Squashed:
    """The layers of a sandbox; `part` is the one that was made of others, until `place` gives it its name."""

    store: LayerStore
    lowers: tuple[str, ...]
    part: Path | None = None
    name: str = ""

    def place(self) -> None:
        """Put the new layer to the others. The caller holds the lock of the store, and names it."""
        if self.part is not None:
            self.part.rename(self.store.root / self.name)


@contextlib.contextmanager
def squashed(store: LayerStore, lowers: Sequence[str]) -> Iterator[Squashed]:
    """Yield layers with the content of `lowers`: themselves, or the last ones merged. Raises `OSError`."""
    begin = _run(store, lowers)
    if begin is None:
        yield Squashed(store, tuple(lowers))
        return
    name = store.new()
    with building(store.root) as part:
        (part / FILES).mkdir(mode=0o700)
        kept, merged = lowers[:begin], lowers[begin:]
        link_merged(
            [store.files(each) for each in merged], [store.files(each) for each in kept], part / FILES
        )
        note_layer(part, max(store.level(each) for each in merged) + 1)
        yield Squashed(store, (*kept, name), part, name)


def _run(store: LayerStore, lowers: Sequence[str]) -> int | None:
    """Return where the layers begin that are to be merged: whole runs, the last one included."""
    found, end = None, len(lowers)
    levels = [store.level(each) for each in lowers] if end > RUN else []
    while end > RUN:
        begin = end
        while begin > 1 and levels[begin - 1] == levels[end - 1]:
            begin -= 1
        if end - begin + (found is not None) < RUN:
            break
        found = end = begin
    return found
