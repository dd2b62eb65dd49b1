"""The documents that an answer cites unfold to the passages that were found in them."""

from __future__ import annotations

from typing import Any

from agent_kernel.kernel.provenance.turn import TurnItems
from agent_kernel.kernel.render.search.cited import LONGEST, MOST, found_passages, place_of

TEXT = "cold.\n[page 3]\nThe core is <b>cooled</b>.\n[page 4]\nWith sodium."


def search(*texts: str, file_id: str = "file_1") -> dict[str, Any]:
    results = [
        {"file_id": file_id, "filename": "a.pdf", "score": 1 - number / 10, "text": text}
        for number, text in enumerate(texts)
    ]
    return {
        "type": "file_search_call",
        "id": "fs_1",
        "queries": ["q"],
        "status": "completed",
        "results": results,
    }


def answer(*cited: tuple[str, str]) -> dict[str, Any]:
    notes = [{"type": "file_citation", "file_id": i, "filename": name, "index": 1} for i, name in cited]
    part = {"type": "output_text", "text": "It is cooled.", "annotations": notes}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


def shown(*items: dict[str, Any]) -> dict[str, Any]:
    turn = TurnItems()
    return [bundle.data for item in items for bundle in turn.render(item)][-1]


def test_a_cited_document_unfolds_to_its_passages() -> None:
    data = shown(search(TEXT), answer(("file_1", "a.pdf"), ("file_2", "<b>.md")))
    cited = data["text/html"].split("Cited:")[1]
    assert ">a.pdf, pages 3 to 4</summary>" in cited
    assert "The core is &lt;b&gt;cooled&lt;/b&gt;." in cited
    assert "<div>&lt;b&gt;.md</div>" in cited  # of an earlier turn
    assert data["text/plain"].endswith("Cited: a.pdf, <b>.md")
    assert "*Cited:* a.pdf, " in data["text/markdown"]


def test_the_best_passages_are_shown_and_are_bounded() -> None:
    found = found_passages([search("best", "second", "third"), search("best")])
    assert found == {"file_1": ["best", "second"]}
    assert len(found["file_1"]) == MOST
    html = shown(search("x" * 10_000), answer(("file_1", "a.pdf")))["text/html"].split("Cited:")[1]
    assert html.count("x") < LONGEST + 100
    assert "characters left out" in html


def test_places_are_named() -> None:
    assert place_of("[page 7]\nx") == "page 7"
    assert place_of("x\n## Cooling\ny") == "section Cooling"
    assert place_of("[sheet Rivers]\n1 | 2") == "sheet Rivers"
    assert place_of("nothing") == ""


def test_what_is_no_result_is_passed_over() -> None:
    assert found_passages([{"results": None}, {"results": [1, {"file_id": 2, "text": "x"}]}]) == {}
    strange = answer(("file_1", ""), ("file_1", "a.pdf"))
    assert "Cited: a.pdf" in shown(strange)["text/html"]
