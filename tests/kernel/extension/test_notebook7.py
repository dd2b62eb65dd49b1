"""All of the extension in Notebook 7: the real kernel in the real front end in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from agent_kernel.kernel.render.bundles import table
from tests.kernel import lab
from tests.kernel.extension.page import WAIT, cell, source, start
from tests.kernel.extension.records import (
    bundles,
    code_call,
    message,
    shell_call,
    shell_output,
    write_record,
)
from tests.kernel.extension.test_extension import DROP
from tests.kernel.extension.test_record import PLOTLY, clipboard, inner, output, press

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def seven(context: BrowserContext, address: str, lab_folder: Path) -> Iterator[Page]:
    """A notebook whose first cell has run before."""
    chart = code_call("fig", {"text/plain": "a chart", "application/vnd.plotly.v1+json": PLOTLY})
    people = table(["name", "age"], [["Ada", "36"], ["Bob", ""]], "`people.csv`")
    failed = [shell_call("cat a"), shell_output(stderr="cat: a: No such file\n", exit_code=1)]
    record = [*bundles(chart), people.bundle(), *bundles(*failed, message("Done."))]
    cells = ["%approve ask rm *", "clean up", ""]
    write_record(lab_folder / "seven.ipynb", [record], cells, kernel="agent-live")
    server, _, token = address.partition("/lab?")
    with context.new_page() as page:
        page.set_viewport_size({"width": 1100, "height": 900})
        page.goto(f"{server}/notebooks/seven.ipynb?{token}", timeout=lab.START_MILLISECONDS)
        page.wait_for_function(f"() => {lab.KERNEL}?.status === 'idle'", timeout=lab.START_MILLISECONDS)
        yield page
        page.evaluate(lab.SHUT_DOWN)


def test_records_in_notebook_7(seven: Page, pictures: Path) -> None:
    seven.get_by_role("button", name="Explore the table").press("Enter", timeout=WAIT)
    expect(seven.locator(".jp-agent-table").get_by_role("status")).to_contain_text("2 of 2 rows")
    seven.get_by_role("button", name="Open the chart").press("Enter")
    expect(inner(seven).locator("svg.main-svg").first).to_be_visible(timeout=WAIT)
    expect(seven.locator(".jp-agent-fold")).to_have_text("2 commands")
    lab.picture(seven, pictures / "records-notebook7.png")
    seven.locator(".jp-agent-fold").click()
    count = "(n) => window.jupyterapp.shell.currentWidget.content.widgets.length === n"
    made = {
        (0, "Make it a Python cell"): "%%python\nfig",
        (4, "Fix this"): "This command failed: `cat a` (exit 1). "
        "Its last output was `cat: a: No such file`. Find out why, and fix it.",
    }
    for (number, name), expected in made.items():
        press(output(seven, number), name)
        seven.wait_for_function(count, arg=5)
        assert source(seven, 1) == expected
        lab.command(seven, "notebook:delete-cell")
        seven.wait_for_function(count, arg=4)
    seven.context.grant_permissions(["clipboard-read", "clipboard-write"])
    press(output(seven, 4), "Copy")
    expect(output(seven, 4).get_by_role("button", name="Copied")).to_be_visible()
    assert clipboard(seven) == "cat: a: No such file\n"
    lab.picture(seven, pictures / "tools-notebook7.png")


def test_cells_and_panels_in_notebook_7(seven: Page, pictures: Path) -> None:
    expect(seven.locator(".jp-agent-badge")).to_have_text(
        ["Prompt", "Line", "Prompt", "Prompt"], timeout=WAIT
    )
    status = seven.locator(".jp-agent-status")
    expect(status).to_contain_text("Idle")
    expect(cell(seven, 3).locator(".cm-placeholder")).to_contain_text("@people.csv")
    expect(start(seven, 1)).to_contain_text("You are asked before", timeout=WAIT)
    asking = start(seven, 2)
    expect(status).to_contain_text("Waiting for you", timeout=WAIT)
    lab.command(seven, "agent-kernel:show-approvals")
    lab.picture(seven, pictures / "notebook7.png")
    seven.locator(".jp-agent-card").get_by_role("button", name="Allow once").click()
    expect(asking.locator(".jp-InputPrompt")).to_have_text("[2]:", timeout=WAIT)
    expect(asking.locator(".jp-OutputArea")).to_contain_text("removed")
    seven.locator(".jp-agent-status-about").click()
    expect(seven.locator(".jp-agent-rules")).to_contain_text("You are asked before rm …", timeout=WAIT)
    lab.picture(seven, pictures / "notebook7-settings.png")
    lab.command(seven, "agent-kernel:show-variables")
    variables = seven.locator(".jp-agent-variables-view")
    expect(variables).to_contain_text("There is no Python session yet", timeout=WAIT)


def test_cells_are_written_and_stopped_in_notebook_7(seven: Page, pictures: Path) -> None:
    edited = cell(seven, 3)
    edited.locator(".cm-content").click()
    for badge in ("Python", "Shell", "Prompt"):
        seven.keyboard.press("Alt+k")
        expect(edited.locator(".jp-agent-badge")).to_have_text(badge)
    seven.evaluate(DROP, [3, "drop", [["ages.csv", "a\n1\n"]]])
    expect(edited.locator(".jp-agent-mention")).to_have_text("@ages.csv", timeout=WAIT)
    edited.locator(".cm-content").fill("wait for ever")
    start(seven, 3)
    status = seven.locator(".jp-agent-status")
    expect(edited.locator(".agent-live-stdout")).to_contain_text("begun", timeout=WAIT)
    expect(status).to_contain_text("Cell 4 of 4")
    status.get_by_role("button", name="Stop").click()
    expect(edited.locator(".jp-OutputArea")).to_contain_text("Stopped by you after", timeout=WAIT)
    lab.picture(seven, pictures / "notebook7-stopped.png")
    edited.locator(".cm-content").fill("%")
    seven.keyboard.press("Control+End")
    seven.keyboard.press("Tab")
    offered = seven.locator(".jp-Completer-item[data-value='%model'] .jp-agent-about")
    expect(offered).to_have_text("List models, or switch this notebook's model.", timeout=WAIT)
    seven.keyboard.press("Escape")
