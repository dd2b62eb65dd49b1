"""What each measure gets, and what it gives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.against.builds import Build

Figures = dict[str, float]
"""One round's figures by name: `now …` and `before …` are of the builds, others stand beside them."""


@dataclass(frozen=True)
class Sizes:
    """How much of everything. `upload` is in bytes."""

    rounds: int = 5
    pairs: int = 12
    """Answers whose first delta is looked at, in a round."""
    starts: int = 3
    crowd: int = 20
    commands: int = 100
    upload: int = 1_000_000_000
    uploads: int = 3
    responses: int = 200_000
    chain: int = 2_000


QUICK = Sizes(2, 5, 1, 20, 50, 200_000_000, 1, 20_000, 500)


@dataclass(frozen=True)
class Bench:
    """The builds, the amounts, and a folder for what is needed meanwhile."""

    before: Build
    now: Build
    sizes: Sizes
    folder: Path

    def in_order(self, number: int) -> tuple[str, str]:
        """Return the names of the builds in the order of this round: a slow moment hits both."""
        names = (self.before.name, self.now.name)
        return names if number % 2 == 0 else (names[1], names[0])


Measure = Callable[[Bench], AsyncIterator[Figures]]
