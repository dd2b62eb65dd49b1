"""Pages of a list whose entries are deleted while a client reads it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.base import Order
from agent_kernel.runtime.paging import Asked, page


@dataclass
class Entry:
    id: str


def entries(count: int) -> list[Entry]:
    mark = secrets.token_hex(4)
    return [Entry(f"{mark}_{number}") for number in range(count)]


class Alive:
    """A list of entries; the place of a deleted one is known by its number."""

    def __init__(self, all_of_them: list[Entry]) -> None:
        self.data = all_of_them

    async def before(self, gone: str) -> str | None:
        mark, _, number = gone.rpartition("_")
        numbers = [int(each.id.rpartition("_")[2]) for each in self.data]
        earlier = [each for each in numbers if each < int(number)]
        return f"{mark}_{earlier[-1]}" if earlier else ""


@given(
    count=st.integers(0, 30),
    limit=st.integers(1, 8),
    order=st.sampled_from(["asc", "desc"]),
    deleted=st.lists(st.lists(st.integers(0, 29), max_size=6), max_size=30),
)
async def test_no_entry_is_left_out_or_repeated(
    count: int, limit: int, order: Order, deleted: list[list[int]]
) -> None:
    """After each page some entries go, served ones and others: every other one is served once."""
    all_of_them = entries(count)
    alive, gone, served, after = Alive(all_of_them), set[str](), list[str](), None
    for step in range(count + 2):
        found = await page(alive.data, Asked(after, limit, order), before=alive.before)
        served += [each.id for each in found.data]
        if not found.has_more:
            break
        after = found.data[-1].id
        unlucky = {all_of_them[n].id for n in (deleted[step] if step < len(deleted) else []) if n < count}
        gone |= unlucky
        alive.data = [each for each in alive.data if each.id not in unlucky]
    expected = [each.id for each in (all_of_them if order == "asc" else reversed(all_of_them))]
    assert len(set(served)) == len(served)
    assert [each for each in expected if each in served] == served
    assert {*expected} - {*served} <= gone


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_deleting_every_served_entry_reaches_the_end(order: Order) -> None:
    alive, after, served = Alive(entries(25)), None, 0
    while True:
        found = await page(alive.data, Asked(after, 4, order), before=alive.before)
        served += len(found.data)
        alive.data = [each for each in alive.data if each not in found.data]
        if not found.has_more:
            break
        after = found.data[-1].id
    assert served == 25
    assert alive.data == []


async def test_an_id_that_was_never_served_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="No entry with the id 'nope'"):
        await page(entries(3), Asked("nope", 2, "asc"))
