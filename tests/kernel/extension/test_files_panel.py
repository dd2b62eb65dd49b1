"""The files panel and the terminal: files changed and dropped, a restart, a lost connection, other tabs.

Set AGENT_KERNEL_PICTURES to a folder to keep the screenshots.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.kernel import lab
from tests.kernel.extension.conftest import Opened
from tests.kernel.extension.page import WAIT, dark, start, violations
from tests.kernel.live.relay import Relay
from tests.kernel.notebooks import write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(300)]

SHELLS = "pgrep -c -f 'bash --noprofile --norc -i'"
NONE_LEFT = f"for i in $(seq 100); do [ $({SHELLS}) = 0 ] && break; sleep 0.2; done; "


def line(page: Page, name: str) -> Locator:
    return page.locator(".jp-agent-file", has=page.get_by_text(name, exact=True))


def ran(page: Page, number: int) -> Locator:
    """Run a cell to its end; its outputs."""
    found = start(page, number)
    expect(found.locator(".jp-InputPrompt")).to_have_text(f"[{number + 1}]:", timeout=WAIT)
    return found.locator(".jp-OutputArea")


def choose(page: Page, name: str, action: str) -> None:
    """Choose an action in the menu of a file."""
    line(page, name).locator(".jp-agent-file-more").click()
    page.locator(".jp-agent-file-menu").get_by_text(action, exact=True).click()


def drop_from_desktop(page: Page, target: Locator, *paths: Path) -> None:
    """Drop files and folders of this machine, as the browser does it for a person's hand."""
    box = target.bounding_box()
    assert box is not None
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send(
            "Input.dispatchDragEvent",
            {
                "type": kind,
                "x": box["x"] + box["width"] / 2,
                "y": box["y"] + box["height"] / 2,
                "data": {"items": [], "files": [str(each) for each in paths], "dragOperationsMask": 1},
            },
        )
    session.detach()


def drag_panel_to(page: Page, width: int) -> None:
    """Drag the right edge of the left panel until it is this wide."""
    panel = page.locator(".jp-agent-files").bounding_box()
    handle = page.locator("#jp-main-split-panel > .lm-SplitPanel-handle:visible").first.bounding_box()
    assert panel is not None
    assert handle is not None
    page.mouse.move(handle["x"] + 1, 400)
    page.mouse.down()
    page.mouse.move(panel["x"] + width, 400, steps=2)
    page.mouse.up()


def test_files_are_changed_and_dropped_while_a_turn_runs(
    opened: Opened, tmp_path: Path, pictures: Path
) -> None:
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    (tmp_path / "photos" / "one.txt").write_text("1")
    (tmp_path / "photos" / "deep" / "two.txt").write_text("2")
    (tmp_path / "late.csv").write_text("a\n1\n")
    (tmp_path / "chosen.txt").write_text("chosen")
    long = "quarterly figures of all regions and products 2024-2025.csv"
    cells = [
        f"!mkdir out; echo old > out/old.txt; echo note > note.txt; cp note.txt '{long}'",
        "wait for ever",
        "",
    ]
    with opened("work.ipynb", cells, kernel="agent", height=700, width=1200) as page:
        lab.command(page, "agent-kernel:show-files")
        panel = page.locator(".jp-agent-files")
        ran(page, 0)
        expect(start(page, 1).locator(".agent-live-stdout")).to_contain_text("begun", timeout=WAIT)

        line(page, "note.txt").locator(".jp-agent-file-open").focus()
        page.keyboard.press("F2")
        page.locator(".jp-Dialog input").fill("renamed.txt")
        lab.picture(page, pictures / "files-rename.png")
        page.keyboard.press("Enter")
        expect(line(page, "renamed.txt")).to_have_count(1, timeout=WAIT)
        expect(line(page, "note.txt")).to_have_count(0)
        with page.expect_download() as download:
            choose(page, "renamed.txt", "Download")
        assert download.value.suggested_filename == "renamed.txt"
        assert download.value.path().read_text() == "note\n"

        drop_from_desktop(page, panel, tmp_path / "photos", tmp_path / "late.csv")
        expect(line(page, "photos")).to_contain_text("2 files", timeout=WAIT)
        expect(line(page, "late.csv")).to_have_count(1, timeout=WAIT)
        line(page, "photos").locator(".jp-agent-file-open").click()
        expect(line(page, "deep")).to_have_count(1, timeout=WAIT)
        with page.expect_file_chooser() as chooser:
            panel.get_by_role("button", name="Upload …").click()
        chooser.value.set_files(tmp_path / "chosen.txt")
        expect(line(page, "chosen.txt")).to_have_count(1, timeout=WAIT)
        lab.picture(page, pictures / "files-folder.png")
        panel.get_by_role("button", name="/mnt/data").click()

        choose(page, "out", "Delete …")
        expect(page.locator(".jp-Dialog")).to_contain_text("out and the file in it will be deleted")
        lab.picture(page, pictures / "files-delete.png")
        page.locator(".jp-Dialog").get_by_role("button", name="Delete").click()
        expect(line(page, "out")).to_have_count(0, timeout=WAIT)
        name = line(page, long).locator(".jp-agent-file-name")
        for width in (300, 230):
            drag_panel_to(page, width)
            line(page, long).locator(".jp-agent-file-open").focus()
            assert name.evaluate("(name) => name.scrollHeight <= name.clientHeight"), width
            assert name.evaluate("(name) => name.scrollWidth <= name.clientWidth"), width
            line(page, long).locator(".jp-agent-file-more").click()
            menu = page.locator(".jp-agent-file-menu")
            expect(menu).to_contain_text("Mention in the cell")
            assert violations(page, ".jp-agent-files") == []
            lab.picture(page, pictures / f"files-menu-{width}.png")
            page.keyboard.press("Escape")
            expect(line(page, long).locator(".jp-agent-file-more")).to_be_focused()
        with dark(page):
            line(page, long).locator(".jp-agent-file-more").click()
            lab.picture(page, pictures / "files-menu-dark.png")
            assert violations(page, ".jp-agent-files") == []
            page.keyboard.press("Escape")
        page.locator(".jp-agent-status").get_by_role("button", name="Stop").click()


def test_terminal_over_a_lost_connection_and_a_restart(
    opened: Opened, context: BrowserContext, address: str, pictures: Path
) -> None:
    relay = Relay(urlsplit(address).port or 0)
    parts = urlsplit(address)
    through = parts._replace(netloc=f"{parts.hostname}:{relay.port}").geturl()
    with opened("far.ipynb", [f"!{SHELLS}", f"!{NONE_LEFT}{SHELLS}"], kernel="agent", height=700) as near:
        far = lab.open_tab(context, through, "far.ipynb")
        expect(far.locator(".jp-agent-status")).to_contain_text("Idle", timeout=WAIT)
        lab.command(far, "agent-kernel:open-terminal")
        terminal = far.locator(".jp-agent-terminal")
        rows = terminal.locator(".xterm-rows")
        expect(rows).to_contain_text("$", timeout=WAIT)
        with relay.cut() as refused:
            expect(terminal).to_contain_text("Connecting to the kernel again", timeout=WAIT)
            terminal.locator("textarea").focus()
            far.keyboard.type("echo typed=$((20 + 3))\n")
            lab.picture(far, pictures / "terminal-lost.png")
            assert refused.wait(60)
            shells(near, 0, "1")
        expect(rows).to_contain_text("typed=23", timeout=WAIT)
        expect(terminal).not_to_contain_text("Connecting")

        far.goto(lab.EMPTY)  # the page goes: so does its shell
        lab.load(far, through, "far.ipynb")
        expect(far.locator(".jp-agent-status")).to_contain_text("Idle", timeout=WAIT)
        shells(near, 1, "0")
        lab.command(near, "agent-kernel:open-terminal")
        terminal, rows = near.locator(".jp-agent-terminal"), near.locator(".xterm-rows")
        expect(rows).to_contain_text("$", timeout=WAIT)
        far.evaluate(f"() => {lab.KERNEL}.restart()")
        expect(terminal).to_contain_text("The kernel was restarted. The terminal has ended.", timeout=WAIT)
        lab.picture(near, pictures / "terminal-restarted.png")
        with dark(near):
            lab.picture(near, pictures / "terminal-restarted-dark.png")
        terminal.get_by_role("button", name="New shell").click()
        expect(rows).to_contain_text("$", timeout=WAIT)
        expect(terminal).not_to_contain_text("ended")
        near.evaluate("() => window.jupyterapp.shell.currentWidget.dispose()")
        lab.command(near, "docmanager:open", {"path": "far.ipynb"})
        shells(near, 0, "0")
        far.close()
    relay.close()


def shells(page: Page, number: int, count: str) -> None:
    """Run the cell that counts the shells of terminals in the container."""
    outputs = start(page, number).locator(".jp-OutputArea")
    expect(outputs.locator("pre", has_text=re.compile(rf"^\s*{count}\s*$"))).to_have_count(1, timeout=WAIT)


def test_each_notebook_shows_its_own_container_and_two_tabs_agree(
    opened: Opened, context: BrowserContext, address: str, lab_folder: Path, pictures: Path
) -> None:
    write_notebook(lab_folder / "other.ipynb", ["!echo 1 > of-the-other.txt"], kernel="agent")
    cells = ["!mkdir in; touch in/a.txt; echo 1 > own.txt; truncate -s 4G large.csv"]
    with opened("own.ipynb", cells, kernel="agent", height=700) as page:
        lab.command(page, "agent-kernel:show-files")
        ran(page, 0)
        line(page, "large.csv").locator(".jp-agent-file-open").click()
        refused = page.locator(".jp-agent-files .jp-agent-bad", has_text="large.csv is too large to show")
        expect(refused).to_have_count(1)
        choose(page, "large.csv", "Delete …")
        page.locator(".jp-Dialog").get_by_role("button", name="Delete").click()
        expect(line(page, "large.csv")).to_have_count(0, timeout=WAIT)
        second = lab.open_tab(context, address, "own.ipynb")
        expect(second.locator(".jp-agent-status")).to_contain_text("Idle", timeout=WAIT)
        lab.command(second, "agent-kernel:show-files")
        expect(line(second, "own.txt")).to_have_count(1, timeout=WAIT)
        line(second, "in").locator(".jp-agent-file-open").click()
        expect(line(second, "a.txt")).to_have_count(1, timeout=WAIT)
        choose(page, "own.txt", "Delete …")
        page.locator(".jp-Dialog").get_by_role("button", name="Delete").click()
        expect(line(page, "own.txt")).to_have_count(0, timeout=WAIT)
        second.locator(".jp-agent-files").get_by_role("button", name="/mnt/data").click()
        expect(line(second, "in")).to_have_count(1, timeout=WAIT)
        expect(line(second, "own.txt")).to_have_count(0)
        choose(second, "in", "Delete …")
        second.locator(".jp-Dialog").get_by_role("button", name="Delete").click()
        for each in (page, second):
            expect(each.locator(".jp-agent-files")).to_contain_text("There are no files yet.", timeout=WAIT)
        second.close()

        lab.command(page, "agent-kernel:open-terminal")
        terminal = page.locator(".jp-agent-terminal:visible")
        expect(terminal.locator(".xterm-rows")).to_contain_text("$", timeout=WAIT)
        lab.command(page, "docmanager:open", {"path": "other.ipynb"})
        expect(page.locator(".jp-agent-files")).to_contain_text("other.ipynb", timeout=WAIT)
        expect(page.locator(".jp-agent-files")).to_contain_text("No container yet", timeout=WAIT)
        ran(page, 0)
        expect(line(page, "of-the-other.txt")).to_have_count(1, timeout=WAIT)
        expect(refused).to_have_count(0)
        lab.picture(page, pictures / "files-other.png")
        page.evaluate(f"() => {lab.WIDGET}.dispose()")
        lab.command(page, "docmanager:open", {"path": "own.ipynb"})
        expect(page.locator(".jp-agent-files")).to_contain_text("There are no files yet.", timeout=WAIT)
        expect(line(page, "of-the-other.txt")).to_have_count(0)
        expect(refused).to_have_count(1)
        page.evaluate(TERMINALS)


TERMINALS = """() => {
  for (const widget of [...window.jupyterapp.shell.widgets("main")]) {
    if (widget.hasClass("jp-agent-terminal")) widget.dispose();
  }
}"""


def test_files_and_terminal_in_notebook_7(
    context: BrowserContext, address: str, lab_folder: Path, tmp_path: Path, pictures: Path
) -> None:
    (tmp_path / "late.csv").write_text("a,b\n1,2\n")
    made = "!echo '# Report' > report.md; echo '<svg xmlns=\"http://www.w3.org/2000/svg\"/>' > drawn.svg"
    write_notebook(lab_folder / "files-seven.ipynb", [made], kernel="agent")
    with context.new_page() as page:
        server, _, token = address.partition("/lab?")
        page.set_viewport_size({"width": 1200, "height": 700})
        page.goto(f"{server}/notebooks/files-seven.ipynb?{token}", timeout=lab.START_MILLISECONDS)
        expect(page.locator(".jp-agent-status")).to_contain_text("Idle", timeout=WAIT)
        lab.command(page, "agent-kernel:show-files")
        ran(page, 0)
        expect(line(page, "report.md")).to_have_count(1, timeout=WAIT)
        drop_from_desktop(page, page.locator(".jp-agent-files"), tmp_path / "late.csv")
        expect(line(page, "late.csv")).to_have_count(1, timeout=WAIT)
        line(page, "report.md").locator(".jp-agent-file-open").click()
        expect(page.locator(".jp-RenderedMarkdown h1:visible")).to_have_text(
            re.compile("Report"), timeout=WAIT
        )
        lab.picture(page, pictures / "files-notebook7.png")
        line(page, "late.csv").locator(".jp-agent-file-open").click()
        expect(page.locator(".jp-CSVViewer:visible")).to_have_count(1, timeout=WAIT)
        line(page, "drawn.svg").locator(".jp-agent-file-open").click()
        drawn = page.locator(".jp-ImageViewer:visible img")
        expect(drawn).to_have_css("background-color", "rgb(255, 255, 255)", timeout=WAIT)
        choose(page, "late.csv", "Delete …")
        page.locator(".jp-Dialog").get_by_role("button", name="Delete").click()
        expect(line(page, "late.csv")).to_have_count(0, timeout=WAIT)
        lab.command(page, "agent-kernel:open-terminal")
        terminal = page.locator(".jp-agent-terminal")
        expect(terminal.locator(".xterm-rows")).to_contain_text("$", timeout=WAIT)
        terminal.locator("textarea").focus()
        page.keyboard.type("cat report.md\n")
        expect(terminal.locator(".xterm-rows")).to_contain_text("# Report", timeout=WAIT)
        lab.picture(page, pictures / "terminal-notebook7.png")
        page.evaluate(lab.SHUT_DOWN)
