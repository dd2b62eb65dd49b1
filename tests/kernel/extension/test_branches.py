"""The history panel in JupyterLab: going back, branches that are opened, named, removed and compared.

Set AGENT_KERNEL_PICTURES to a folder to keep the pictures.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import CHECKOUT
from tests.kernel import lab
from tests.kernel.extension.conftest import Opened
from tests.kernel.extension.page import CONTENT, WAIT, cell, check_themes, start

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(300)]

CELLS = ["!echo one >a.txt", "!echo two >a.txt", "!cat a.txt", "!cat a.txt"]
QUESTIONS = [
    "%upload penguins.csv",
    "Clean it, and keep the cleaned table for later.",
    "How do the three species differ?",
    "!wc -l *.csv",
]
OTHER = "Is a longer bill a deeper bill?"


def run(page: Page, *numbers: int) -> None:
    """Run these cells, each when the one before has ended."""
    for number in numbers:
        before = cell(page, number).locator(".jp-InputPrompt").inner_text()
        prompt = start(page, number).locator(".jp-InputPrompt")
        expect(prompt).not_to_have_text(before, timeout=WAIT)
        expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=WAIT)


def history(page: Page) -> Locator:
    lab.command(page, "agent-kernel:show-history")
    return page.locator(".jp-agent-history")


def test_history_panel_goes_back_and_opens_branches(opened: Opened, pictures: Path) -> None:
    with opened("history.ipynb", [*CELLS, "wait for ever"], width=1300, height=800) as page:
        panel = history(page)
        expect(panel).to_contain_text("No cell has asked or run anything yet.", timeout=WAIT)
        run(page, 0, 1, 2, 3, 1)
        rows = panel.locator(".jp-agent-history-cell")
        expect(rows).to_have_count(5, timeout=WAIT)
        expect(rows.nth(3)).to_contain_text("[4] !cat a.txt")
        expect(rows.nth(3)).to_contain_text("end of b2 · not on this branch")
        expect(rows.nth(4)).to_contain_text("a.txt")
        notes = page.locator(".jp-agent-stale-note")
        expect(notes).to_have_text(["From another branch. Run the cell again to have it here."] * 2)
        check_themes(page, ".jp-agent-history, .jp-agent-stale-note", pictures / "going-back.png")
        page.get_by_role("button", name="Open branch b2").press("Enter")
        expect(panel.get_by_role("status").last).to_have_text(
            "Now on branch b2, as it was left; branch b1 is kept.", timeout=WAIT
        )
        expect(notes).to_have_count(0, timeout=WAIT)
        expect(page.get_by_role("button", name="Open branch b1")).to_be_enabled(timeout=WAIT)
        page.get_by_role("button", name="Go back to before cell [3]").press("Enter")
        expect(panel).to_contain_text("the work of 2 cells is kept as branch b3.", timeout=WAIT)
        expect(notes).to_have_count(2, timeout=WAIT)
        page.get_by_role("button", name="[2] !echo two >a.txt").first.press("Enter")
        assert page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex") == 1
        compare, count = page.get_by_role("button", name="Compare b1 with the branch in use"), rows.count()
        compare.focus()
        page.evaluate(f"() => {lab.KERNEL}.requestExecute({{ code: '!true' }}).done.then(() => null)")
        expect(rows).to_have_count(count + 1, timeout=WAIT)
        expect(compare).to_be_focused()
        start(page, 4)
        expect(panel).to_contain_text("A cell is running.", timeout=WAIT)
        expect(page.get_by_role("button", name="Go back to before cell [1]")).to_be_disabled()
        expect(page.get_by_role("button", name="Open branch b1")).to_be_disabled()
        page.locator(".jp-agent-status").get_by_role("button", name="Stop").click()
        expect(page.get_by_role("button", name="Open branch b1")).to_be_enabled(timeout=WAIT)


def test_branches_stand_side_by_side_and_get_names(opened: Opened, lab_folder: Path, pictures: Path) -> None:
    (lab_folder / "questions").mkdir()
    shutil.copy(CHECKOUT / "notebooks" / "data" / "penguins.csv", lab_folder / "questions")
    with opened("questions/penguins.ipynb", QUESTIONS, kernel="agent-demo", width=1300, height=900) as page:
        run(page, 0, 1, 2, 3)
        page.evaluate(f"(s) => {CONTENT}.widgets[2].model.sharedModel.setSource(s)", OTHER)
        run(page, 2)
        panel = history(page)
        page.get_by_role("button", name="Rename branch b2").press("Enter", timeout=WAIT)
        page.locator(".jp-Dialog input").fill("species")
        page.keyboard.press("Enter")
        expect(panel.locator(".jp-agent-history-branch")).to_contain_text(["b1", "species"], timeout=WAIT)
        cell(page, 2).evaluate("(cell) => cell.scrollIntoView({ block: 'start' })")
        lab.picture(page, pictures / "history.png")
        page.get_by_role("button", name="Compare species with the branch in use").press("Enter")
        table = page.locator(".jp-agent-comparison")
        expect(table.get_by_role("columnheader")).to_contain_text(["b1", "species"], timeout=WAIT)
        rows = table.locator(".jp-agent-rows > tbody > tr")
        expect(rows).to_have_count(2)
        expect(rows.first.locator(":scope > td")).to_contain_text([OTHER, QUESTIONS[2]])
        expect(rows.first.get_by_role("table")).to_contain_text("Gentoo")
        expect(rows.last.locator(":scope > td")).to_contain_text(["Not on this branch", "wc -l"])
        check_themes(page, ".jp-agent-comparison, .jp-agent-history", pictures / "branches.png")
        page.get_by_role("button", name="Changes since before cell [5]").press("Enter")
        changes = page.locator(".jp-agent-comparison:visible")
        expect(changes).to_contain_text("correlation.txt (added", timeout=WAIT)
        check_themes(page, ".jp-agent-comparison", pictures / "changes.png")
        page.get_by_role("button", name="[5] Is a longer bill").press("Enter")
        expect(cell(page, 2)).to_be_visible(timeout=WAIT)
        page.get_by_role("button", name="Delete branch species").press("Enter")
        page.locator(".jp-Dialog").get_by_role("button", name="Delete").click()
        expect(panel.locator(".jp-agent-history-branch")).to_have_count(1, timeout=WAIT)
