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
from tests.kernel.extension.page import WAIT, cell, check_themes, dark, start
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
        check_themes(page, ".jp-agent-files", pictures / "files.png")

        expect(open_viewer(page, "people.csv", ".jp-CSVViewer")).to_be_visible()
        lab.picture(page, pictures / "files-csv.png")
        back(page, "files.ipynb")
        report = open_viewer(page, "report.md", ".jp-RenderedMarkdown")
        expect(report).to_contain_text("Report")
        assert report.locator("iframe, script, object, embed, style, link, form[action]").count() == 0
        lab.picture(page, pictures / "files-markdown.png")
        back(page, "files.ipynb")
        picture = open_viewer(page, "picture.svg", ".jp-ImageViewer img")
        page.wait_for_function("(img) => img.naturalWidth === 60", arg=picture.element_handle(), timeout=WAIT)
        with dark(page):
            lab.picture(page, pictures / "files-svg-dark.png")
            expect(picture).to_have_css("background-color", "rgb(255, 255, 255)")
        back(page, "files.ipynb")
        for name, selector in (("page.html", ".jp-FileEditor"), ("run.ipynb", ".jp-FileEditor")):
            expect(open_viewer(page, name, selector)).to_be_visible()
            back(page, "files.ipynb")
        expect(start(page, 2).locator(".jp-InputPrompt")).to_have_text("[3]:", timeout=WAIT)
        panel.get_by_label("Show only names that contain this text").fill("sparse")
        expect(line(page, "sparse.csv")).to_contain_text("4.3 GB", timeout=WAIT)
        line(page, "sparse.csv").locator(".jp-agent-file-open").click()
        expect(panel.locator(".jp-agent-bad")).to_contain_text("sparse.csv is too large to show")
        panel.get_by_label("Show only names that contain this text").fill("")
        line(page, "many").locator(".jp-agent-file-open").click()
        expect(panel).to_contain_text("Show more (500 of 10000)", timeout=WAIT)
        panel.get_by_label("Show only names that contain this text").fill("9999")
        expect(line(page, "09999")).to_have_count(1, timeout=WAIT)
        expect(panel.locator(".jp-agent-file")).to_have_count(1)
        panel.get_by_role("button", name="/mnt/data").click()
        expect(line(page, "report.md")).to_have_count(1, timeout=WAIT)
        for name in ("pipe", "outside", "passwd"):
            expect(line(page, name)).to_have_count(0)
        assert [page.evaluate("window.__canary"), *trap.visits] == [None]


REPORT = """# Sales in 2025

The **south** sold more in every month but *March*.

1. read `sales.csv`
2. add up by month
"""
REGIONS = [f"2025-{n:02}-01,{each},{n * 37 % 100}\n" for n in range(1, 13) for each in ("north", "south")]
BEFORE = {"sales.csv": "date,region,amount\n" + "".join(REGIONS), "clean.py": "import csv\n"}
MADE = {"report.md": REPORT, "sales by month and region 2025.csv": "month,north,south\n"}


def test_report_is_read_beside_the_list_and_a_terminal(opened: Opened, pictures: Path) -> None:
    cells = ["!mkdir figures; touch figures/months.svg", writing(BEFORE), writing(MADE)]
    with opened("sales.ipynb", cells, kernel="agent", width=1100, height=480) as page:
        lab.command(page, "agent-kernel:show-files")
        for number in range(3):
            prompt = start(page, number).locator(".jp-InputPrompt")
            expect(prompt).to_have_text(f"[{number + 1}]:", timeout=WAIT)
        expect(line(page, "report.md")).to_contain_text("changed", timeout=WAIT)
        expect(line(page, "clean.py")).not_to_contain_text("changed")
        expect(open_viewer(page, "report.md", ".jp-RenderedMarkdown")).to_contain_text("Sales in 2025")
        line(page, "sales.csv").locator(".jp-agent-file-more").click()
        expect(page.locator(".jp-agent-file-menu")).to_contain_text("Mention in the cell")
        check_themes(page, ".jp-agent-file-menu", pictures / "files-panel.png")
        page.keyboard.press("Escape")
        back(page, "sales.ipynb")
        page.locator(".jp-agent-files").get_by_role("button", name="Terminal").click()
        terminal = page.locator(".jp-agent-terminal")
        rows = terminal.locator(".xterm-rows")
        expect(rows).to_contain_text("$", timeout=WAIT)
        for command in ("head -3 sales.csv", "cut -d, -f2 sales.csv | sort | uniq -c"):
            page.keyboard.type(f"{command}\n")
        expect(rows).to_contain_text("12 south", timeout=WAIT)
        check_themes(page, ".jp-agent-terminal", pictures / "terminal.png")
        back(page, "sales.ipynb")


def test_terminal_into_the_container(opened: Opened) -> None:
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
        page.keyboard.type("exit 3\n")
        expect(terminal).to_contain_text("The shell has ended (exit code 3)", timeout=WAIT)
        expect(terminal.get_by_role("button", name="New shell")).to_be_visible()
        page.evaluate("() => window.jupyterapp.shell.currentWidget.dispose()")
        lab.command(page, "docmanager:open", {"path": "shell.ipynb"})
        expect(cell(page, 0)).to_be_visible()
