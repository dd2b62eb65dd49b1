"""The files panel and the terminal as a person sees them: the real kernel in the real JupyterLab in Chromium.

The container's files are hostile: nothing of them runs, and nobody comes to the canary.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.kernel import lab
from tests.kernel.extension.conftest import Opened
from tests.kernel.extension.page import WAIT, cell, dark, start, violations
from tests.kernel.hostile.canary import Canary, canary
from tests.kernel.hostile.corpus import LATEX, MARKDOWN, MARKUP, NAMES, PAGES, PICTURES

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def trap() -> Iterator[Canary]:
    with canary() as server:
        yield server


def writing(files: dict[str, str]) -> str:
    """A cell that writes these files."""
    program = "import json; [open(n, 'w').write(c) for n, c in json.loads(input()).items()]"
    return f"!python3 -c {shlex.quote(program)} <<< {shlex.quote(json.dumps(files))}"


def hostile(address: str) -> dict[str, str]:
    """Files whose names and contents try to run, or to fetch something."""
    said = "\n\n".join([*MARKUP, *MARKDOWN, *LATEX])
    files = {
        "report.md": f"# Report\n\n{said}",
        "page.html": PAGES[0],
        "picture.svg": PICTURES[0],
        "people.csv": "name,age\nAda,36\nBob,41\n"
        + "".join(f'"{each[:40]}",1\n' for each in ("=1+1", "<b>")),
        "notes.txt": "plain",
        "run.ipynb": "{}",
        **dict.fromkeys(NAMES, "x"),
    }
    return {name.replace("/", ""): content.replace("CANARY", address) for name, content in files.items()}


def line(page: Page, name: str) -> Locator:
    return page.locator(".jp-agent-file", has=page.get_by_text(name, exact=True))


def back(page: Page, notebook: str) -> None:
    """Close the viewer and show the notebook."""
    page.evaluate("() => window.jupyterapp.shell.currentWidget.dispose()")
    lab.command(page, "docmanager:open", {"path": notebook})


def open_viewer(page: Page, name: str, selector: str) -> Locator:
    line(page, name).locator(".jp-agent-file-open").click()
    shown = page.locator(f"#jp-main-dock-panel {selector}:visible")
    expect(shown).to_have_count(1, timeout=WAIT)
    return shown


def test_files_of_the_container_are_shown_and_opened_safely(
    opened: Opened, trap: Canary, pictures: Path
) -> None:
    odd = "mkfifo pipe; ln -s /etc outside; ln -s /etc/passwd passwd; truncate -s 4G sparse.csv"
    many = "mkdir many; (cd many; seq -w 0 9999 | sed s/^/0/ | xargs touch)"
    cells = ["!mkdir -p out; echo 1 > out/old.txt", writing(hostile(trap.address)), f"!{odd}; {many}"]
    with opened("files.ipynb", cells, kernel="agent", height=800, width=1300) as page:
        lab.command(page, "agent-kernel:show-files")
        panel = page.locator(".jp-agent-files")
        expect(panel).to_contain_text("No container yet", timeout=WAIT)
        expect(start(page, 0).locator(".jp-InputPrompt")).to_have_text("[1]:", timeout=WAIT)
        expect(line(page, "out")).to_contain_text("1 file", timeout=WAIT)
        expect(start(page, 1).locator(".jp-InputPrompt")).to_have_text("[2]:", timeout=WAIT)
        expect(line(page, "report.md")).to_contain_text("changed", timeout=WAIT)
        expect(line(page, "out")).not_to_contain_text("changed")
        expect(line(page, "safe\\u{202e}txt.exe")).to_have_count(1)
        assert violations(page, ".jp-agent-files") == []
        page.screenshot(path=pictures / "files.png")
        with dark(page):
            page.screenshot(path=pictures / "files-dark.png")

        expect(open_viewer(page, "people.csv", ".jp-CSVViewer")).to_be_visible()
        page.screenshot(path=pictures / "files-csv.png")
        back(page, "files.ipynb")
        report = open_viewer(page, "report.md", ".jp-RenderedMarkdown")
        expect(report).to_contain_text("Report")
        assert report.locator("iframe, script, object, embed, style, link, form[action]").count() == 0
        page.screenshot(path=pictures / "files-markdown.png")
        back(page, "files.ipynb")
        picture = open_viewer(page, "picture.svg", ".jp-ImageViewer img")
        page.wait_for_function("(img) => img.naturalWidth === 60", arg=picture.element_handle(), timeout=WAIT)
        page.screenshot(path=pictures / "files-svg.png")
        back(page, "files.ipynb")
        for name, selector in (("page.html", ".jp-FileEditor"), ("run.ipynb", ".jp-FileEditor")):
            expect(open_viewer(page, name, selector)).to_be_visible()
            back(page, "files.ipynb")
        expect(start(page, 2).locator(".jp-InputPrompt")).to_have_text("[3]:", timeout=WAIT)
        panel.get_by_label("Show only names with this text").fill("sparse")
        expect(line(page, "sparse.csv")).to_contain_text("4.3 GB", timeout=WAIT)
        line(page, "sparse.csv").locator(".jp-agent-file-open").click()
        expect(panel.locator(".jp-agent-bad")).to_contain_text("sparse.csv is too large to be shown")
        panel.get_by_label("Show only names with this text").fill("")
        line(page, "many").locator(".jp-agent-file-open").click()
        expect(panel).to_contain_text("Show more (500 of 10000)", timeout=WAIT)
        panel.get_by_label("Show only names with this text").fill("9999")
        expect(line(page, "09999")).to_have_count(1, timeout=WAIT)
        expect(panel.locator(".jp-agent-file")).to_have_count(1)
        panel.get_by_role("button", name="/mnt/data").click()
        expect(line(page, "report.md")).to_have_count(1, timeout=WAIT)
        for name in ("pipe", "outside", "passwd"):
            expect(line(page, name)).to_have_count(0)
        assert [page.evaluate("window.__canary"), *trap.visits] == [None]


def test_terminal_into_the_container(opened: Opened, pictures: Path) -> None:
    with opened("shell.ipynb", ["!echo from the cell > note.txt"], kernel="agent", height=800) as page:
        expect(start(page, 0).locator(".jp-InputPrompt")).to_have_text("[1]:", timeout=WAIT)
        lab.command(page, "agent-kernel:open-terminal")
        terminal = page.locator(".jp-agent-terminal")
        rows = terminal.locator(".xterm-rows")
        expect(rows).to_contain_text("$", timeout=WAIT)
        terminal.locator("textarea").focus()
        page.keyboard.type("cat note.txt; pwd\n")
        expect(rows).to_contain_text("from the cell", timeout=WAIT)
        expect(rows).to_contain_text("/mnt/data")
        page.screenshot(path=pictures / "terminal.png")
        with dark(page):
            page.screenshot(path=pictures / "terminal-dark.png")
        terminal.locator("textarea").focus()
        page.keyboard.type("exit 3\n")
        expect(terminal).to_contain_text("The shell has ended (exit code 3)", timeout=WAIT)
        expect(terminal.get_by_role("button", name="New shell")).to_be_visible()
        page.evaluate("() => window.jupyterapp.shell.currentWidget.dispose()")
        lab.command(page, "docmanager:open", {"path": "shell.ipynb"})
        expect(cell(page, 0)).to_be_visible()
