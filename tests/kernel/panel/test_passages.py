"""What stands around a cited passage, which may be one chunk of its document or several that overlap."""

from __future__ import annotations

import pytest

from agent_kernel.errors import NotFound
from agent_kernel.kernel.panel.passages import surroundings

PARTS = [f"Part {number} says: " + f"{number} " * 100 for number in range(6)]
CHUNKS = ["".join(PARTS[place : place + 2]) for place in range(5)]


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 2), (0, 4), (4, 4)])
def test_text_around_is_that_of_the_document(first: int, last: int) -> None:
    passage = "".join(PARTS[first : last + 2])
    before, after = surroundings(CHUNKS, passage[:400], passage[-400:])
    assert before == ("" if first == 0 else PARTS[first - 1])
    assert after == ("" if last == 4 else PARTS[last + 2])


def test_a_passage_of_chunks_shorter_than_its_start_is_found() -> None:
    parts = [f"Part {number} " + f"{number} " * 60 for number in range(5)]
    chunks = ["".join(parts[place : place + 2]) for place in range(4)]
    passage = "".join(parts[1:4])
    assert surroundings(chunks, passage[:300], passage[-300:]) == (parts[0], parts[4])


def test_a_passage_that_is_gone_is_not_found() -> None:
    with pytest.raises(NotFound):
        surroundings(CHUNKS, "Elsewhere", "there")
