"""What the files of an archive may be at most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TreeLimits:
    """What a tree may hold at most. `size` is in bytes that are not holes, `length` with them."""

    entries: int = 500_000
    size: int = 20 << 30
    length: int = 1 << 40
