from __future__ import annotations

from typing import Any

import pytest

from agent_kernel.protocol.citations import Citations


def cited(text: str, *, missing: tuple[str, ...] = ()) -> list[str]:
    """What is cited of a text in which every path is a file, but for those."""
    citations = Citations()
    citations.write(text)
    citations.found(
        "cntr_1", {path: None if path in missing else f"id of {path}" for path in citations.unknown()}
    )
    assert citations.unknown() == []
    annotations: list[Any] = list(citations.annotations())
    for each in annotations:
        assert each.type == "container_file_citation"
        assert each.container_id == "cntr_1"
        assert each.filename == text[each.start_index : each.end_index].rpartition("/")[2]
        assert each.file_id == "id of " + text[each.start_index : each.end_index].removeprefix("sandbox:")
    return [text[each.start_index : each.end_index] for each in annotations]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Nothing of the kind.", []),
        ("[the plot](sandbox:/mnt/data/plot.png)", ["sandbox:/mnt/data/plot.png"]),
        (
            "![](sandbox:/mnt/data/a.png) and `/mnt/data/b/c.csv`.",
            ["sandbox:/mnt/data/a.png", "/mnt/data/b/c.csv"],
        ),
        ("It is in /mnt/data/notes.txt.", ["/mnt/data/notes.txt"]),
        ("Is it /mnt/data/notes.txt?!", ["/mnt/data/notes.txt"]),
        ("twice: /mnt/data/a /mnt/data/a", ["/mnt/data/a", "/mnt/data/a"]),
        ("the folder /mnt/data/ or /mnt/data", []),
        ("/mnt/data/../../etc/passwd and /mnt/data//x", []),
        ("/elsewhere/mnt/database", []),
        ("größe: /mnt/data/größe.txt 🙂 /mnt/data/b", ["/mnt/data/größe.txt", "/mnt/data/b"]),
    ],
)
def test_what_is_named(text: str, named: list[str]) -> None:
    assert cited(text) == named


def test_what_is_no_file_is_not_cited() -> None:
    assert cited("/mnt/data/a and /mnt/data/b", missing=("/mnt/data/a",)) == ["/mnt/data/b"]


def test_text_of_many_pieces_is_joined_only_when_it_is_read() -> None:
    citations = Citations()
    for _ in range(1000):
        citations.write("a")
    assert len(citations._pieces) == 1000
    assert citations.text == "a" * 1000
    assert len(citations._pieces) == 1
    citations.write("b")
    assert citations.text == "a" * 1000 + "b"


def test_a_part_begins_with_nothing_known() -> None:
    citations = Citations()
    citations.write("/mnt/data/a")
    citations.found("cntr_1", {"/mnt/data/a": "cfile_1"})
    citations.close()
    assert citations.annotations() == []
    citations.write("/mnt/data/a")
    assert citations.unknown() == ["/mnt/data/a"]
