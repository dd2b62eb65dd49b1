"""The order of tests for several workers: each begins with other tests of those that take longest.

Tests marked `unsplit` with the same name share what is expensive to start, so one worker should run them all.
xdist gives each worker an equal part of the list, and lets workers without tests take some from the end of
others' parts. So a group stands at the beginning of a part, and a second one in another part: if one worker
had all of them, the others would wait for it in the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

LONGEST = ("extension", "notebooks", "random steps", "hostile", "desktop", "proxy")
"""The names of the groups, the longest first."""


def shared_out(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """Return the tests in the order in which that many workers should take them."""
    groups: dict[str, list[pytest.Item]] = {name: [] for name in LONGEST}
    others: list[pytest.Item] = []
    for item in items:
        mark = item.get_closest_marker("unsplit")
        (groups[mark.args[0]] if mark else others).append(item)
    firsts: list[list[pytest.Item]] = [[] for _ in range(workers)]
    back_and_forth = [*range(workers), *reversed(range(workers))]
    for number, group in enumerate(filter(None, groups.values())):
        firsts[back_and_forth[number % len(back_and_forth)]] += group
    ordered: list[pytest.Item] = []
    for number, first in enumerate(firsts):
        end = len(ordered) + (len(items) - len(ordered)) // (workers - number)  # as xdist divides
        ordered += first
        room = max(0, end - len(ordered))
        ordered += others[:room]
        del others[:room]
    return ordered + others
