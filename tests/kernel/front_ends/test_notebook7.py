"""Notebook 7 in a real Chromium: a cell runs live, and ends with the same static outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.kernel.lab import CHROMIUM, FLAGS, KERNEL, START_MILLISECONDS, lab_server
from tests.kernel.notebooks import write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap]


@pytest.mark.timeout(300)
def test_a_cell_in_notebook_7(jupyter: Path, tmp_path: Path, missing: Callable[[str], NoReturn]) -> None:
    if CHROMIUM is None:
        missing("There is no Chromium. Install it with: apt-get install chromium")
    root = tmp_path / "root"
    root.mkdir()
    (root / "people.csv").write_text("name,age\nAda,36\nBob,41\n")
    write_notebook(root / "asked.ipynb", ["Tell me what is in people.csv: @people.csv"])
    with lab_server(root, tmp_path / "server") as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        try:
            page = browser.new_page()
            server, _, token = address.partition("/lab?")
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
        finally:
            browser.close()
