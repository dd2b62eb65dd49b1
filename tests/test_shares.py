"""The order of tests for several workers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.shares import LONGEST, shared_out


def item(number: int, group: str | None = None) -> Any:
    mark = pytest.mark.unsplit(group).mark if group else None
    return SimpleNamespace(number=number, group=group, get_closest_marker=lambda _: mark)


ITEMS = [item(n, LONGEST[n % len(LONGEST)] if n % 5 == 0 else None) for n in range(200)]


@pytest.mark.parametrize("workers", [1, 2, 4, 7])
def test_each_part_begins_with_whole_groups(workers: int) -> None:
    ordered: list[Any] = [*shared_out(ITEMS, workers)]
    assert sorted(each.number for each in ordered) == list(range(200))
    parts, left = list[list[str | None]](), [each.group for each in ordered]
    for worker in range(workers):
        end = len(left) // (workers - worker)
        parts, left = [*parts, left[:end]], left[end:]
    begin = [part[0] for part in parts[: len(LONGEST)]]
    assert begin == [*LONGEST[:workers], *[None] * (workers - len(LONGEST))][: len(LONGEST)]
    for part in parts:
        groups = [group for group in part if group]
        assert part[: len(groups)] == groups, "what is long comes first"
    places = [{n for n, part in enumerate(parts) if group in part} for group in LONGEST]
    assert all(len(place) == 1 for place in places)


def test_a_few_tests_of_one_group_are_all_there() -> None:
    few = [item(n, "proxy") for n in range(3)]
    assert shared_out(few, 4) == few
