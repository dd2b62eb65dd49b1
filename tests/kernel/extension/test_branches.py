"""Going back in JupyterLab: what a cell that is run again says, and which cells are of another branch.

Set AGENT_KERNEL_PICTURES to a folder to keep the screenshot.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.kernel.extension.conftest import Opened
from tests.kernel.extension.page import WAIT, cell, start, violations

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(300)]

CELLS = ["!echo one >a.txt", "!echo two >a.txt", "!cat a.txt", "!cat a.txt", "%branch switch b2"]


def test_later_cells_are_marked_until_their_branch_is_open(opened: Opened, pictures: Path) -> None:
    with opened("branches.ipynb", CELLS, height=700) as page:
        for number in range(4):
            expect(start(page, number).locator(".jp-InputPrompt")).to_have_text(
                f"[{number + 1}]:", timeout=WAIT
            )
        notes = page.locator(".jp-agent-stale-note")
        expect(notes).to_have_count(0)
        again = start(page, 1).locator(".jp-OutputArea")
        went = "Went back to before this cell; the work of 2 later cells is kept as branch b2."
        expect(again).to_contain_text(went, timeout=WAIT)
        expect(notes).to_have_count(2, timeout=WAIT)
        for number in (2, 3):
            expect(cell(page, number).locator(".jp-agent-stale-note")).to_contain_text("From another branch.")
        assert violations(page, ".jp-agent-stale-note") == []
        page.screenshot(path=pictures / "going-back.png")
        start(page, 2)
        expect(notes).to_have_count(1, timeout=WAIT)
        expect(start(page, 4).locator(".jp-OutputArea")).to_contain_text("Now on branch b2", timeout=WAIT)
        expect(notes).to_have_count(0, timeout=WAIT)
