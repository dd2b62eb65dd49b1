"""`%docs`: documents are added, searched with citations, listed and removed."""

from __future__ import annotations

import re

import pytest

from tests.kernel.client import Notebook

pytestmark = pytest.mark.bubblewrap

ASK = "How is the reactor cooled?"


def test_documents_are_searched_and_cited(fresh: Notebook) -> None:
    papers = fresh.folder / "papers"
    papers.mkdir()
    (papers / "reactor.md").write_text(
        "# Cooling\n\nThe core is cooled with liquid sodium, which boils at 883 degrees."
    )
    (papers / "other.md").write_text("Sailing is about wind.")
    (papers / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    added = fresh.run("%docs add papers/*").plain
    assert "Added 2 documents. The agent can search 2 in all, and cites what it finds." in added[0]
    assert "broken.pdf was not added. Its text cannot be read" in added[0]
    assert "reactor.md" in fresh.run("%docs").plain[0]
    asked = fresh.run(ASK)
    search, answer = asked.plain
    assert search.startswith(
        "Searched the documents for: reactor cooling. 1 passage, from outside\nreactor.md ("
    )
    assert "liquid sodium" in search
    assert answer.startswith("With **liquid sodium**, at 883[a] degrees [reactor.md].\n\n[a] Printed in")
    assert answer.endswith("\n\nCited: reactor.md")
    html = str(asked.final[-1]["data"]["text/html"])
    assert re.search(r"Cited:<details><summary[^>]*>reactor\.md, section Cooling</summary>", html)
    assert "The core is cooled with liquid sodium" in html.split("Cited:")[1]
    assert fresh.run("%docs remove reactor.md other.md").plain == ["Removed 2 documents."]
    assert fresh.run("%docs").plain == ["There are no documents. `%docs add FILE` adds some."]
