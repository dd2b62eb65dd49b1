"""What a person sees of code: in the live view while it runs, and as outputs when the turn has ended.

Set AGENT_KERNEL_PICTURES to a folder to keep the screenshots.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.kernel import lab
from tests.kernel.notebooks import write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(240)]

WAIT = 60_000.0


def test_code_is_seen_live_and_ends_as_outputs(
    lab_tab: Page, lab_address: str, lab_folder: Path, pictures: Path
) -> None:
    write_notebook(lab_folder / "code.ipynb", ["chart the sales", "count slowly in Python"])
    with lab.notebook_in(lab_tab, lab_address, "code.ipynb", height=1700) as page:
        lab.start_command(page, "notebook:run-all-cells")
        first, second = (page.locator(".jp-Cell").nth(number) for number in range(2))
        view = second.locator(".agent-live")
        expect(view.locator(".agent-live-stdout")).to_contain_text("step 2 of 6", timeout=WAIT)
        expect(view.locator(".agent-shell-keyword", has_text="import")).to_have_count(1)
        expect(view.locator(".agent-live-outcome")).to_contain_text("running")
        lab.picture(page, pictures / "code-live.png")
        page.wait_for_function(f"() => {lab.KERNEL}.status === 'idle'", timeout=WAIT)
        expect(first.locator(".jp-OutputArea img")).to_have_count(1)
        expect(first.locator(".jp-OutputArea table")).to_contain_text("north")
        expect(second.locator(".jp-OutputArea")).to_contain_text("step 6 of 6")
        lab.picture(page, pictures / "code.png")
