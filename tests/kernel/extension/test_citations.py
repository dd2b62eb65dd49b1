"""The citations panel: a citation opens its passage in its document, whose text is hostile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.kernel.extension.conftest import Opened
from tests.kernel.extension.page import WAIT, cell, check_themes, start

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(300)]

HOSTILE = "<img src=x onerror='window.__canary = 1'><b>bold</b> \u202etxt.exe [here](javascript:alert(1))"
FILLER = "\n\n".join(f"Pipe {number} leads from the pump to the tower and back." for number in range(120))
PAPER = (
    f"# Reactors\n\nThis is the beginning. {HOSTILE}\n\n{FILLER}\n\n# Cooling\n\n"
    f"The reactor's core is cooled with liquid sodium. {HOSTILE}\n\n{FILLER}\n\nThis is the end."
)
PANEL = "#jp-agent-citations"
CELLS = ["%docs add cited/reactor.md", "How is the reactor cooled?"]


def test_citation_opens_its_passage_in_its_document(opened: Opened, lab_folder: Path, pictures: Path) -> None:
    paper = lab_folder / "cited" / "reactor.md"  # other tests count the files beside their notebooks
    paper.parent.mkdir()
    paper.write_text(PAPER)
    with opened("cited.ipynb", CELLS, kernel="agent", height=800, width=1300) as page:
        for number in range(len(CELLS)):
            prompt = start(page, number).locator(".jp-InputPrompt")
            expect(prompt).to_have_text(f"[{number + 1}]:", timeout=WAIT)
        summary = cell(page, 1).locator(".agent-kernel-cited summary")
        summary.focus()
        page.keyboard.press("Enter")
        panel = page.locator(PANEL)
        expect(panel.get_by_role("heading", level=3)).to_contain_text("reactor.md", timeout=WAIT)
        expect(panel.get_by_role("status")).to_have_text("1 of 2")
        around = panel.locator(".jp-agent-around")
        expect(around.last).to_contain_text("Pipe", timeout=WAIT)
        shown = panel.locator(".jp-agent-passage").inner_text()
        assert "window.__canary = 1" in shown
        assert "\\u{202e}txt.exe" in shown
        pipes = re.findall(r"Pipe (\d+)", shown.partition("# Cooling")[2])
        assert pipes == [str(number) for number in range(len(pipes))]  # one text, though chunks overlap
        first = panel.locator("mark").inner_text()

        for _ in range(2):  # from the panel to its second button
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(panel.get_by_role("status")).to_have_text("2 of 2")
        expect(panel.locator("mark")).not_to_have_text(first)
        panel.get_by_role("button", name="Next").click()
        expect(panel.get_by_role("status")).to_have_text("1 of 2")
        expect(panel.locator("mark")).to_contain_text("Pipe")
        assert panel.locator("img, b, a, script").count() == 0
        expect(cell(page, 1).locator(".agent-kernel-cited details")).not_to_have_attribute("open", "")
        check_themes(page, PANEL, pictures / "citations.png")

        start(page, 0)  # the document is replaced: its passage is not there any more
        expect(cell(page, 0).locator(".jp-InputPrompt")).to_have_text("[3]:", timeout=WAIT)
        panel.get_by_role("button", name="Previous").click()
        expect(panel).to_contain_text("Only the passage, from outside, can be shown.", timeout=WAIT)
        expect(panel.locator("mark")).to_contain_text("Pipe")
        assert page.evaluate("window.__canary") is None
