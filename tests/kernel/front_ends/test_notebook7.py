"""Notebook 7 in a real Chromium: a cell runs live, and ends with the same static outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.kernel.lab import KERNEL, SHUT_DOWN, START_MILLISECONDS
from tests.kernel.notebooks import write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap]


@pytest.mark.timeout(300)
def test_a_cell_in_notebook_7(lab_address: str, lab_tab: Page, lab_folder: Path) -> None:
    write_notebook(lab_folder / "asked.ipynb", ["Tell me what is in people.csv: @people.csv"])
    with lab_tab.context.new_page() as page:
        server, _, token = lab_address.partition("/lab?")
        page.goto(f"{server}/notebooks/asked.ipynb?{token}", timeout=START_MILLISECONDS)
        cell = page.locator(".jp-CodeCell").first
        expect(cell).to_be_visible(timeout=START_MILLISECONDS)
        # The indicator is no help: it says "idle" before there is a kernel, and a run is lost then.
        page.wait_for_function(f"() => {KERNEL}?.status === 'idle'", timeout=START_MILLISECONDS)
        expect(cell.locator(".cm-content")).to_contain_text("people.csv", timeout=START_MILLISECONDS)
        page.get_by_role("button", name="Run this cell and advance").click()
        outputs = cell.locator(".jp-OutputArea-output")
        expect(outputs.last).to_contain_text("It has 3 lines", timeout=START_MILLISECONDS)
        expect(cell.locator(".jp-InputPrompt")).to_have_text("[1]:", timeout=START_MILLISECONDS)
        expect(outputs.first).to_contain_text("Uploaded people.csv")
        expect(cell.locator(".jupyter-widgets")).to_have_count(0)
        page.evaluate(SHUT_DOWN)
