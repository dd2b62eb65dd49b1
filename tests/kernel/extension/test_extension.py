"""The JupyterLab extension as a person sees it: the real kernel in the real JupyterLab in Chromium.

Set AGENT_KERNEL_PICTURES to a folder to keep the screenshots.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.kernel import lab
from tests.kernel.extension.conftest import Opened
from tests.kernel.extension.page import CONTENT, WAIT, cell, check_themes, source, start
from tests.kernel.notebooks import write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(300)]


def test_status_shows_the_running_cell_and_stops_it(opened: Opened, pictures: Path) -> None:
    with opened("status.ipynb", ["%model", "wait for ever", ""], height=480) as page:
        status = page.locator(".jp-agent-status")
        expect(status).to_contain_text("No container yet")
        running = start(page, 1)
        expect(running.locator(".agent-live-stdout")).to_contain_text("begun", timeout=WAIT)
        expect(status.locator(".jp-agent-status-doing")).to_contain_text(re.compile(r"Cell 2 of 3, \d+ s"))
        expect(status).to_contain_text("bubblewrap", timeout=WAIT)
        check_themes(page, ".jp-agent-status", pictures / "status.png")
        status.get_by_role("button", name="Stop").click()
        expect(running.locator(".jp-OutputArea")).to_contain_text("Stopped by you after", timeout=WAIT)
        expect(status).to_contain_text("Idle")
        expect(status.get_by_role("button", name="Stop")).to_be_hidden()
        expect(page.locator(".jp-agent-status.jp-agent-wide")).to_be_visible()
        assert page.evaluate(NARROWED) is True


NARROWED = """() => {
  const panel = window.jupyterapp.shell.currentWidget;
  panel.node.style.width = "700px";
  panel.processMessage({ type: "resize", width: -1, height: -1 });
  const narrow = panel.node.querySelector(".jp-agent-status").classList.contains("jp-agent-narrow");
  panel.node.style.width = "";
  return narrow;
}"""
"""Whether the item in the toolbar is short at once, before JupyterLab moves what does not fit to a menu."""


def test_hidden_notebook_is_answered_in_the_inbox(
    opened: Opened, address: str, lab_folder: Path, pictures: Path
) -> None:
    write_notebook(lab_folder / "front.ipynb", ["say hello"], kernel="agent-live")
    with opened("asking.ipynb", ["%approve ask rm *", "clean up"], height=500) as page:
        expect(start(page, 0)).to_contain_text("You are asked before", timeout=WAIT)
        asking = start(page, 1)
        expect(asking.locator(".agent-live-question")).to_be_visible(timeout=WAIT)
        lab.command(page, "docmanager:save")
        page.reload()
        expect(asking.locator(".agent-live-question")).to_be_visible(timeout=WAIT)
        lab.command(page, "docmanager:open", {"path": "front.ipynb"})
        lab.command(page, "agent-kernel:show-approvals")
        card = page.locator(".jp-agent-card")
        expect(page.locator(".jp-agent-inbox")).to_contain_text("asking.ipynb, cell 2 of 2", timeout=WAIT)
        expect(card).to_contain_text("rm -f results.txt")
        expect(page.locator(".jp-agent-inbox-waits")).to_have_text("1")
        expect(page.locator(".Toastify__toast")).to_have_count(0, timeout=WAIT)
        check_themes(page, ".jp-agent-inbox", pictures / "inbox.png")
        card.get_by_role("button", name="Allow once").click()
        expect(card).to_have_count(0, timeout=WAIT)
        expect(page.locator(".jp-agent-inbox")).to_contain_text("Nothing is waiting for you")
        page.evaluate("() => window.jupyterapp.shell.currentWidget.dispose()")
        lab.command(page, "docmanager:open", {"path": "asking.ipynb"})
        expect(page.locator(".jp-agent-status:visible")).to_contain_text("Idle", timeout=WAIT)


DROP = """([cell, type, files]) => {
  const data = new DataTransfer();
  for (const [name, text] of files) data.items.add(new File([text], name));
  const target = document.querySelectorAll(".jp-Notebook .jp-CodeCell .cm-content")[cell];
  const event = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data };
  target.dispatchEvent(type === "paste" ? new ClipboardEvent(type, event) : new DragEvent(type, event));
}"""


def test_dropped_files_are_uploaded_and_mentioned_while_a_turn_runs(opened: Opened, pictures: Path) -> None:
    with opened("dropped.ipynb", ["wait for ever", "Compare", "!ls -l"], kernel="agent", height=700) as page:
        expect(start(page, 0).locator(".agent-live-stdout")).to_contain_text("begun", timeout=WAIT)
        page.evaluate(DROP, [1, "dragover", [["a", ""]]])
        expect(page.locator(".jp-agent-drop")).to_have_count(1)
        page.evaluate(DROP, [1, "drop", [["ages.csv", "a\n1\n"], ["my notes.txt", "x" * 3_000_000]]])
        page.wait_for_function(f"() => {CONTENT}.widgets[1].model.sharedModel.getSource().includes('notes')")
        assert source(page, 1) == 'Compare @ages.csv @"my notes.txt" '
        expect(page.locator(".jp-agent-transfer")).to_have_count(0)
        page.evaluate(DROP, [1, "drop", [["bad\nname.txt", "x"]]])
        expect(page.locator(".jp-agent-transfer")).to_contain_text("was not uploaded", timeout=WAIT)
        check_themes(page, ".jp-agent-transfer", pictures / "drop.png")
        page.evaluate(DROP, [1, "paste", [["image.png", "x"]]])
        page.wait_for_function(f"() => {CONTENT}.widgets[1].model.sharedModel.getSource().includes('image')")
        page.locator(".jp-agent-status").get_by_role("button", name="Stop").click()
        expect(cell(page, 0)).to_contain_text("Stopped by you", timeout=WAIT)
        expect(start(page, 2)).to_contain_text("3000000", timeout=WAIT)


def test_answer_comes_first_and_its_work_is_folded(opened: Opened, pictures: Path) -> None:
    cells = ["%upload people.csv\n\nwhat is in people.csv", "!echo alone"]
    with opened("record.ipynb", cells, kernel="agent", height=480) as page:
        record = start(page, 0).locator(".jp-OutputArea")
        fold = record.get_by_role("button", name=re.compile(r"3 commands, [\d.]+ (s|min)"))
        expect(fold).to_have_attribute("aria-expanded", "false", timeout=WAIT)
        answer, command = record.get_by_text("It has"), record.get_by_text("wc -l < people.csv")
        expect(command).to_be_hidden()
        expect(record.get_by_text("Uploaded people.csv")).to_be_visible()
        assert top(answer) < top(fold)
        expect(start(page, 1).locator(".jp-InputPrompt")).to_have_text("[2]:", timeout=WAIT)
        expect(cell(page, 1).locator(".jp-agent-fold")).to_have_count(0)
        check_themes(page, ".jp-agent-record", pictures / "record.png")
        fold.press("Enter")
        expect(command).to_be_visible()
        assert top(fold) < top(record.get_by_text("Uploaded")) < top(command) < top(answer)
        fold.click()
        expect(command).to_be_hidden()
        lab.command(page, "agent-kernel:show-work")
        expect(command).to_be_visible()
        lab.picture(page, pictures / "record-work.png")
        lab.command(page, "agent-kernel:show-work")
        expect(command).to_be_hidden()


def test_words_of_an_error_are_not_broken(opened: Opened) -> None:
    with opened("nonsense.ipynb", ["%nonsense"], kernel="agent") as page:
        error = start(page, 0).locator(".jp-OutputArea pre", has_text="There is no magic")
        expect(error).to_have_css("word-break", "normal", timeout=WAIT)


def top(shown: Locator) -> float:
    box = shown.bounding_box()
    assert box is not None
    return box["y"]


def test_notebook_of_another_kernel_is_left_alone(opened: Opened) -> None:
    with opened("python.ipynb", ["x = '@people.csv'"], kernel="python3") as page:
        expect(cell(page, 0).locator(".cm-content")).to_contain_text("people")
        expect(page.locator(".jp-agent-badge")).to_have_count(0)
        expect(page.locator(".jp-agent-mention")).to_have_count(0)
        expect(page.locator(".jp-agent-status")).to_be_hidden()


def test_saved_notebook_is_the_same_without_the_extension(
    opened: Opened, context: BrowserContext, address: str, lab_folder: Path
) -> None:
    cells = ["%upload people.csv\n\nwhat is in people.csv", "!echo hello", "%budget", ""]

    def run(page: Page, name: str) -> dict[str, Any]:
        lab.start_command(page, "notebook:run-all-cells")
        expect(page.locator(".jp-InputPrompt", has_text="[3]:")).to_have_count(1, timeout=WAIT)
        lab.command(page, "docmanager:save")
        text = re.sub(r"_[0-9a-f]{32}\b", "_ID", (lab_folder / name).read_text())  # each run has its own
        saved: dict[str, Any] = json.loads(re.sub(r'"seconds": \[[^\]]*\]', '"seconds": []', text))
        return saved

    with opened("with.ipynb", cells, kernel="agent") as page:
        expect(page.locator(".jp-agent-badge")).to_have_count(4)
        with_it = run(page, "with.ipynb")
    write_notebook(lab_folder / "without.ipynb", cells)
    with context.new_page() as page:
        page.route(f"**/lab/extensions/{lab.EXTENSION}/**", lambda route: route.abort())
        with lab.notebook_in(page, address, "without.ipynb"):
            expect(page.locator(".jp-agent-badge")).to_have_count(0)
            assert run(page, "without.ipynb") == with_it
