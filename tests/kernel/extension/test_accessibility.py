"""Everything that the extension shows, looked at by axe-core in each theme and in Notebook 7."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.kernel import lab
from tests.kernel.extension.page import WAIT, cell, our_violations, start, themed
from tests.kernel.notebooks import write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(300)]

CELLS = ["!touch go", "show everything", "%approve ask rm *", "clean up", ""]
THEMES = ["JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"]


def fill(page: Page) -> None:
    """Run the cells until one waits for an answer, and open the panels."""
    for number in range(3):
        prompt = start(page, number).locator(".jp-InputPrompt")
        expect(prompt).to_have_text(f"[{number + 1}]:", timeout=WAIT)
    start(page, 3)
    expect(page.locator(".jp-agent-status:visible")).to_contain_text("Waiting for you", timeout=WAIT)
    cell(page, 4).locator(".cm-content").click()
    expect(page.get_by_role("group", name="Example questions")).to_be_visible(timeout=WAIT)


@pytest.fixture(scope="module")
def full(lab_tab: Page, address: str, lab_folder: Path) -> Iterator[Page]:
    """A page of JupyterLab in which everything is shown that the extension has."""
    write_notebook(lab_folder / "full.ipynb", CELLS, kernel="agent-live")
    with lab.notebook_in(lab_tab, address, "full.ipynb", height=900):
        fill(lab_tab)
        lab.command(lab_tab, "agent-kernel:show-approvals")
        yield lab_tab


@pytest.mark.parametrize("theme", THEMES)
def test_notebook_and_panels_have_no_serious_violation(full: Page, theme: str, pictures: Path) -> None:
    with themed(full, theme):
        full.screenshot(path=pictures / f"all-{theme.lower().replace(' ', '-')}.png")
        assert our_violations(full) == []


def test_nothing_serious_in_notebook_7_in_the_dark(
    context: BrowserContext, address: str, lab_folder: Path, pictures: Path
) -> None:
    write_notebook(lab_folder / "dark.ipynb", CELLS, kernel="agent-live")
    server, _, token = address.partition("/lab?")
    with context.new_page() as page:
        page.set_viewport_size({"width": 1100, "height": 900})
        page.goto(f"{server}/notebooks/dark.ipynb?{token}", timeout=lab.START_MILLISECONDS)
        page.wait_for_function(f"() => {lab.KERNEL}?.status === 'idle'", timeout=lab.START_MILLISECONDS)
        fill(page)
        with themed(page, "JupyterLab Dark"):
            for name in ("agent-kernel:show-approvals", "agent-kernel:set-up"):
                lab.command(page, name)
                assert our_violations(page) == []
            expect(page.locator(".jp-agent-check")).not_to_have_count(0, timeout=WAIT)
            assert our_violations(page) == []
            page.screenshot(path=pictures / "all-notebook7-dark.png")
        page.evaluate(lab.SHUT_DOWN)
