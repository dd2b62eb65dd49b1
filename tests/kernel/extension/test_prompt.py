"""Prompt cells: what they look like, what they offer, and how they change."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.kernel import lab
from tests.kernel.extension.conftest import Opened
from tests.kernel.extension.page import CONTENT, WAIT, cell, check_themes, dark, source, start, violations

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(300)]

LONG = (
    "Please compare the ages in @people.csv with those of last year, say which of the two tables has more "
    "gaps, and draw both distributions in one chart. Then tell me in two sentences what has changed, and "
    "which of the differences are too small to mean anything. Leave out everybody who is younger than 16."
)
CELLS = [LONG, "!ls -l", "%%python\nprint(1)", "%budget seconds=20\n%model", ""]


def test_prompts_wrap_and_cells_say_what_they_are(opened: Opened, pictures: Path) -> None:
    with opened("prompts.ipynb", CELLS, height=620) as page:
        badges = page.locator(".jp-agent-badge")
        expect(badges).to_have_text(["Prompt", "Shell", "Python", "Line", "Prompt"])
        content = cell(page, 0).locator(".cm-content")
        expect(content).to_have_class(re.compile("cm-lineWrapping"))
        wide = "(e) => [e.closest('.cm-scroller').scrollWidth, e.closest('.cm-scroller').clientWidth]"
        assert len(set(content.evaluate(wide))) == 1
        fonts = [
            cell(page, number).locator(".cm-content").evaluate("(e) => getComputedStyle(e).fontFamily")
            for number in (0, 2)
        ]
        assert "mono" not in fonts[0]
        assert "mono" in fonts[1]
        expect(cell(page, 0).locator(".jp-agent-mention")).to_have_text("@people.csv")
        expect(cell(page, 1).locator(".jp-agent-command")).to_have_text("!ls -l")
        expect(cell(page, 3).locator(".jp-agent-top")).to_have_text(["%budget", "%model"])
        expect(cell(page, 4).locator(".cm-placeholder")).to_contain_text("What is in @people.csv?")
        check_themes(page, ".jp-AgentNotebook .jp-agent-badge", pictures / "prompts.png")


def test_key_switches_between_prompt_python_and_shell(opened: Opened) -> None:
    with opened("switched.ipynb", ["say hello", "%model"]) as page:
        cell(page, 0).locator(".cm-content").click()
        for badge, prefix in (("Python", "%%python\n"), ("Shell", "%%bash\n"), ("Prompt", "")):
            page.keyboard.press("Alt+k")
            expect(cell(page, 0).locator(".jp-agent-badge")).to_have_text(badge)
            assert source(page, 0) == f"{prefix}say hello"
        expect(cell(page, 1).locator(".jp-agent-badge")).to_be_disabled()


def complete(page: Page, number: int) -> None:
    """Press Tab at the end of a cell, and wait for the list."""
    cell(page, number).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.press("Tab")
    expect(page.locator(".jp-Completer")).to_be_visible(timeout=WAIT)


def test_completions_say_what_they_are(opened: Opened, pictures: Path) -> None:
    with opened("completed.ipynb", ["%", "Look at @", "%%python\npri"], kernel="agent", height=420) as page:
        complete(page, 0)
        model = page.locator(".jp-Completer-item[data-value='%model']")
        expect(model.locator(".jp-agent-about")).to_have_text("List models, or switch this notebook's model.")
        lab.picture(page, pictures / "completion.png")
        page.keyboard.press("Escape")
        complete(page, 1)
        people = page.locator(".jp-Completer-item[data-value='@people.csv']")
        expect(people.locator(".jp-agent-about")).to_have_text("CSV, 23 bytes")
        with dark(page):
            lab.picture(page, pictures / "completion-files-dark.png")
            assert violations(page, ".jp-Completer .jp-agent-about") == []
        people.click()
        assert source(page, 1) == "Look at @people.csv"
        expect(start(page, 2)).to_contain_text("NameError", timeout=WAIT)
        complete(page, 2)
        expect(page.locator(".jp-Completer-item[data-value='print']")).to_be_visible()
        page.keyboard.press("Escape")


def test_code_cells_have_the_colours_of_their_language(opened: Opened) -> None:
    with opened("languages.ipynb", ["x", "%%python\nx = 1", "%%r\nx <- 1", "!ls"], kernel="agent") as page:
        for number, language in enumerate(["markdown", "python", "r", "shell"]):
            editor = cell(page, number).locator(".cm-content")
            expect(editor).to_have_attribute("data-language", language)
        expect(page.locator(".jp-agent-badge")).to_have_text(["Prompt", "Python", "R", "Shell"])
        page.evaluate(f"() => {CONTENT}.activeCellIndex = 1")
        for language in ("shell", "markdown"):
            lab.command(page, "agent-kernel:switch-cell-kind")
            expect(cell(page, 1).locator(".cm-content")).to_have_attribute("data-language", language)


def test_empty_prompt_offers_questions_about_the_files(opened: Opened, pictures: Path) -> None:
    cells = ["!printf 'a\\n1\\n' > results.csv", ""]
    with opened("offered.ipynb", cells, kernel="agent", height=500) as page:
        empty = cell(page, 1)
        offered = empty.get_by_role("group", name="Example questions")
        expect(offered).to_be_hidden()
        empty.locator(".cm-content").click()
        expect(offered.get_by_role("button").first).to_have_text("What is in @people.csv?")
        assert page.evaluate(f"() => {CONTENT}.widgets[0].model.executionState") == "idle"
        page.keyboard.press("Tab")
        assert source(page, 1) == "What is in @people.csv?"
        expect(offered).to_be_hidden()
        page.keyboard.press("Control+z")
        expect(start(page, 0).locator(".jp-InputPrompt")).to_have_text("[1]:", timeout=WAIT)
        empty.locator(".cm-content").click()
        expect(offered.get_by_role("button").first).to_have_text("What is in results.csv?", timeout=WAIT)
        check_themes(page, ".jp-AgentNotebook .jp-mod-active", pictures / "examples.png")
        page.set_viewport_size({"width": 480, "height": 500})
        lab.picture(page, pictures / "examples-narrow.png")
        offered.get_by_role("button").last.press("Enter")
        expect(empty.locator(".cm-content")).to_be_focused()
        assert source(page, 1) == "Draw a chart of results.csv."
