"""Chunks are cut into passages below their headings, and are as near to a query as the nearest passage."""

from __future__ import annotations

import struct
import textwrap
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from agent_kernel.runtime.vector_stores.breaks import unwrapped
from agent_kernel.runtime.vector_stores.chunking import Chunking, chunks_of
from agent_kernel.runtime.vector_stores.passages import LONGEST, Passages
from agent_kernel.runtime.vector_stores.ranking import Fusion
from agent_kernel.store.documents import Hit
from agent_kernel.store.nearest import nearest
from agent_kernel.tools.document_search.search import Ranking


def test_passages_stand_below_their_headings() -> None:
    text = "# Birds\nThey fly.\n## Heron\nIt hunts.\n# Fish\nThey swim.\n"
    assert Passages().of(text) == ["Birds\nThey fly.", "Birds > Heron\nIt hunts.", "Fish\nThey swim."]
    assert Passages().of("# Only a heading") == ["# Only a heading"]


def test_paragraphs_items_and_rows_stand_alone() -> None:
    text = "# Birds\nThey fly\nand sing.\n\n- Herons\n  hunt.\n- Ducks swim.\n\n"
    text += "| who | what |\n|---|---|\n| owl | hoots |\n"
    assert [each.removeprefix("Birds\n") for each in Passages().of(text)] == [
        "They fly\nand sing.", "- Herons\n  hunt.", "- Ducks swim.", "| who | what |", "| owl | hoots |",
    ]  # fmt: skip
    assert Passages().of("1. One\n2. Two\n\n---\n") == ["1. One", "2. Two"]


def test_next_chunk_knows_the_heading_it_begins_below() -> None:
    passages = Passages()
    shared = "The heron hunts at dawn, and waits for hours without a move in shallow water. "
    assert passages.of(f"# Heron\n{shared}") == [f"Heron\n{shared.strip()}"]
    assert passages.of(f"{shared}It eats fish.") == [f"Heron\n{shared}It eats fish."]
    assert passages.of("It nests in trees.") == ["Heron\nIt nests in trees."]


def test_a_passage_is_not_cut_where_chunks_overlap() -> None:
    passages, heron = (
        Passages(),
        "The heron hunts at dawn, and waits for hours without a move in shallow water.",
    )
    assert passages.of(f"{heron}\n\nIt eats fish.") == [heron, "It eats fish."]
    assert passages.of(f"{heron[4:]}\n\nIt eats fish.\n\nIt nests.") == ["It eats fish.", "It nests."]
    assert passages.of("fish.\n\nIt nests.") == ["It nests."]
    assert Passages().of(heron[4:]) == [heron[4:]]


def test_long_sections_lose_no_word() -> None:
    words = [f"word{n}" for n in range(900)]
    found = Passages().of("# Long\n" + " ".join(words))
    assert max(map(len, found)) <= LONGEST + len("Long\n")
    assert " ".join(each.removeprefix("Long\n") for each in found).split() == words
    assert len(Passages().of("x" * 3000)) == 3000 // LONGEST


def vector(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}e", *values)


def test_a_chunk_is_as_near_as_its_nearest_passage() -> None:
    rows = [
        (1, 7, vector(0, 1) + vector(1, 0)),
        (2, 7, vector(0.5, 0.5)),
        (3, 8, vector(0, 1) * 3),
        (4, 8, None),
        (5, 8, vector(1, 0, 0)),
    ]
    found = list(nearest(rows, vector(1, 0)))
    assert found == [(1.0, 1, 7), (0.5, 2, 7), (0.0, 3, 8)]
    assert not list(nearest(rows[3:], vector(1, 0)))


def order(hits: list[Hit], limit: int) -> list[int]:
    fusion = Fusion(Ranking(), hybrid=False)
    fusion.add_words([("vs", hit) for hit in hits])
    best = fusion.best(limit)
    assert all(one[1] >= other[1] for one, other in pairwise(best))
    return [ranked.hit.chunk for ranked, _ in best]


def test_neighbours_leave_room_for_other_answers() -> None:
    texts = [f"{n} " * 200 for n in range(4)]
    first, second = Hit(1, 1, texts[0] + texts[1], 9.0), Hit(2, 1, texts[1] + texts[2], 8.0)
    elsewhere, copy = Hit(3, 1, texts[3], 7.0), Hit(4, 2, texts[0] + texts[1], 6.0)
    hits = [first, second, elsewhere, copy]
    assert order(hits, 2) == [1, 3]
    assert order(hits, 3) == [1, 3, 4]  # another file may say the same
    assert order(hits, 4) == [1, 2, 3, 4]


def texts(hits: list[Hit], limit: int, longest: int) -> list[str]:
    fusion = Fusion(Ranking(), hybrid=False)
    fusion.add_words([("vs", hit) for hit in hits])
    return [ranked.hit.text for ranked, _ in fusion.best(limit, lambda _: longest)]


def test_neighbours_are_one_result_while_it_is_short_enough() -> None:
    parts = [f"{n} " * 200 for n in range(5)]
    middle, after = Hit(2, 1, parts[1] + parts[2], 9.0), Hit(3, 1, parts[2] + parts[3], 8.0)
    before, elsewhere = Hit(1, 1, parts[0] + parts[1], 7.0), Hit(9, 2, parts[4], 6.0)
    hits = [middle, after, before, elsewhere]
    assert texts(hits, 2, 1600) == ["".join(parts[:4]), parts[4]]
    assert texts(hits, 2, 1200) == ["".join(parts[1:4]), parts[4]]
    assert texts(hits, 2, 800) == [middle.text, parts[4]]
    assert texts(hits, 1, 1600) == ["".join(parts[:4])]  # what is below another place is not joined
    assert texts([middle, elsewhere, Hit(3, 1, after.text, 5.0)], 1, 1600) == [middle.text]


def test_a_text_that_repeats_itself_is_not_joined_wrongly() -> None:
    line = (
        "The same line, over and over, as in a log file, longer than what is compared of a chunk at first.\n"
    )
    one, other = Hit(1, 1, line * 4 + "end", 9.0), Hit(2, 1, line * 3 + "another end", 8.0)
    assert texts([one, other], 2, 10_000) == [one.text, other.text]
    follows = Hit(2, 1, line * 2 + "end and more", 8.0)
    assert texts([one, follows], 2, 10_000) == [line * 4 + "end and more"]


PROSE = (
    "The kernel keeps what a cell has said and (as told) goes on with it when the server is back again. " * 20
)


async def chunks(text: str) -> list[str]:
    async def pieces() -> AsyncIterator[str]:
        yield text

    return [" ".join(each.split()) async for each in chunks_of(pieces(), Chunking(100, 20))]


async def test_wrapped_text_is_cut_where_unwrapped_text_is() -> None:
    assert await chunks("\n".join(textwrap.wrap(PROSE, 99))) == await chunks(PROSE)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("x" * 60 + " and\nso on", False),
        ("x" * 60 + ".\nso on", True),  # the end of a sentence
        ("def f(a):\n    return a", True),  # short lines have not been wrapped
        ("x" * 60 + " and\n- an item", True),
        ("| " + "x" * 60 + " | y\nso on", True),  # a row of a table
    ],
)
def test_only_the_end_of_a_wide_line_of_text_means_nothing(text: str, same: bool) -> None:
    assert (unwrapped(text) == text) is same
    assert len(unwrapped(text)) == len(text)
