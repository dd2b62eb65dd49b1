"""The record in the extension: what is copied, asked and made of an output, and charts.

Set AGENT_KERNEL_PICTURES to a folder to keep the screenshots.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Frame, Locator, Page, expect

from agent_kernel.kernel.render.bundles import table
from agent_kernel.kernel.render.files import pages
from tests.kernel import lab
from tests.kernel.extension.conftest import Opened
from tests.kernel.extension.page import WAIT, cell, check_themes, dark, source, start
from tests.kernel.extension.records import (
    bundles,
    code_call,
    message,
    shell_call,
    shell_output,
    write_record,
)

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(300)]

PLOTLY = {
    "data": [{"type": "bar", "x": ["north", "south"], "y": [3, 4]}],
    "layout": {
        "title": {"text": "Sales"},
        "annotations": [{"text": "<a href='http://example.test/'>link</a>"}],
    },
}
VEGA = {
    "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
    "data": {"values": [{"a": "north", "b": 3}, {"a": "south", "b": 4}]},
    "mark": "bar",
    "encoding": {"x": {"field": "a", "type": "nominal"}, "y": {"field": "b", "type": "quantitative"}},
    "usermeta": {"embedOptions": {"loader": None, "actions": True}},
}
ALTAIR = (
    '<div id="vis"></div><script src="https://cdn.example.test/vega.js"></script><script>top.__ran = 1;'
    f'(function(spec, embedOpt) {{ vegaEmbed("#vis", spec) }})({json.dumps(VEGA)}, {{"mode": "vega-lite"}});'
    "</script>"
)
HEREDOC = "python3 - <<'EOF'\nprint(1)\nEOF"


@contextmanager
def record(opened: Opened, lab_folder: Path, cells: Any, name: str, **size: int) -> Iterator[Page]:
    """The page with a notebook of these records."""
    write_record(lab_folder / name, cells)
    with opened(name, None, **size) as page:
        expect(page.locator(".jp-agent-badge").first).to_be_visible(timeout=WAIT)
        yield page


def clipboard(page: Page) -> str:
    text: str = page.evaluate("() => navigator.clipboard.readText()")
    return text


def output(page: Page, number: int) -> Locator:
    """An output of the first cell."""
    return cell(page, 0).locator(".jp-OutputArea-child").nth(number)


def press(place: Locator, name: str) -> None:
    """A button of an output, as the keyboard reaches it."""
    found = place.get_by_role("button", name=name)
    found.focus()
    expect(found).to_be_in_viewport()
    found.press("Enter")


def test_outputs_are_copied_asked_about_and_made_cells(
    opened: Opened, lab_folder: Path, pictures: Path
) -> None:
    failed = shell_output("a\x1b[31mb\x1b[0m\n", "cat: no `@such.csv`\n%approve auto\n", 1)
    items = [shell_call("ls", HEREDOC), failed, shell_call(HEREDOC), code_call("x = 1"), message("**Done.**")]
    with record(opened, lab_folder, [bundles(*items, seconds=4.2)], "tools.ipynb", height=560) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        fold = cell(page, 0).get_by_role("button", name="4 commands, 8 s")
        expect(fold).to_be_visible(timeout=WAIT)
        fold.click()
        copies = [
            f"ls\n{HEREDOC}",
            "ab\ncat: no `@such.csv`\n%approve auto\n",
            HEREDOC,
            "x = 1",
            "**Done.**",
        ]
        for number, expected in enumerate(copies):
            press(output(page, number), "Copy")
            expect(output(page, number).get_by_role("button", name="Copied")).to_be_visible()
            assert clipboard(page) == expected
        expect(cell(page, 0).get_by_role("button", name="Copied")).to_have_count(0)
        output(page, 1).hover()
        check_themes(page, ".jp-OutputArea", pictures / "tools.png")
        made = {
            (0, "Make it a shell cell"): f"%%bash\nls\n{HEREDOC}",
            (2, "Make it a Python cell"): "%%python\nprint(1)",
            (3, "Make it a Python cell"): "%%python\nx = 1",
            (1, "Explain"): "This command failed: `ls` (exit 1). Its last output was `%approve auto`. "
            "Explain why, in plain words. Do not change anything.",
            (1, "Fix this"): "This command failed: `ls` (exit 1). Its last output was `%approve auto`. "
            "Find out why, and fix it.",
        }
        for (number, name), expected in made.items():
            press(output(page, number), name)
            page.wait_for_function(
                "(n) => window.jupyterapp.shell.currentWidget.content.widgets.length === n", arg=2
            )
            assert source(page, 1) == expected
            lab.command(page, "notebook:delete-cell")
            page.wait_for_function("() => window.jupyterapp.shell.currentWidget.content.widgets.length === 1")


def inner(page: Page) -> Frame:
    """The frame in which a chart is drawn, within the one that keeps it."""
    found = page.locator(".jp-agent-chart-frame").content_frame.locator("iframe")
    handle = found.element_handle(timeout=WAIT)
    frame = handle.content_frame()
    assert frame is not None
    return frame


def test_charts_come_to_life_in_a_frame_that_reaches_nothing(
    opened: Opened, lab_folder: Path, pictures: Path
) -> None:
    picture = {"text/plain": "a chart"}
    plotly = code_call("fig", {**picture, "application/vnd.plotly.v1+json": PLOTLY})
    vega = code_call("chart", {**picture, "application/vnd.vegalite.v5+json": VEGA})
    page_of = pages.frame("chart.html", ALTAIR, len(ALTAIR))
    with record(
        opened,
        lab_folder,
        [[*bundles(plotly, message("Drawn.")), *bundles(vega), page_of]],
        "charts.ipynb",
        height=900,
    ) as page:
        expect(page.locator(".jp-agent-chart-frame")).to_have_count(0)
        opens = cell(page, 0).get_by_role("button", name="Open the chart")
        expect(opens).to_have_count(3, timeout=WAIT)
        look(page, opens.nth(0), "svg.main-svg", pictures / "chart.png")
        with dark(page):
            look(page, opens.nth(1), "svg.marks", pictures / "chart-dark.png")
        look(page, opens.nth(2), "svg.marks", pictures / "chart-page.png")
        assert page.evaluate("() => window.__ran") is None


def look(page: Page, opens: Locator, drawn: str, path: Path) -> None:
    """Open a chart, see that it is drawn in a frame of another origin, and close it again."""
    opens.press("Enter")
    frame = inner(page)
    expect(frame.locator("#chart[data-drawn]")).to_have_count(1, timeout=WAIT)
    expect(frame.locator(drawn).first).to_be_visible(timeout=WAIT)
    assert frame.evaluate("() => window.origin") == "null"
    lab.picture(page, path)
    page.get_by_role("button", name="Close the chart").click()
    expect(page.locator(".jp-agent-chart-frame")).to_have_count(0)


def test_tables_are_sorted_filtered_and_paged(opened: Opened, lab_folder: Path, pictures: Path) -> None:
    rows = [[f"P{n}", str(n * 7 % 30), "" if n % 10 else f"{n / 4}", 'a, "b"'] for n in range(30)]
    shown = table(["name", "age", "score", "note"], rows, "`people.csv`", ["text", "int", "float", "text"])
    with record(opened, lab_folder, [[shown.bundle()]], "tables.ipynb", height=560) as page:
        press(output(page, 0), "Explore the table")
        view = page.locator(".jp-agent-table")
        status = view.get_by_role("status")
        expect(status).to_have_text("30 of 30 rows, page 1 of 2")
        expect(output(page, 0).locator("table.dataframe")).to_be_hidden()
        heads = view.locator("th")
        expect(heads.nth(1)).to_contain_text("number")
        expect(heads.nth(2)).to_contain_text("number, 27 missing")
        expect(heads.nth(1).get_by_role("img")).to_have_attribute("aria-label", re.compile("^0 – 2.9: 3;"))
        expect(heads.nth(0).locator(".jp-agent-table-top")).to_have_text("all different")
        expect(heads.nth(3).locator(".jp-agent-table-top")).to_have_text('a, "b" 30')
        age, first = heads.nth(1).get_by_role("button"), view.locator("tbody tr").first
        for order, name in (("ascending", "P0"), ("descending", "P17"), ("none", "P0")):
            age.press("Enter")
            expect(heads.nth(1)).to_have_attribute("aria-sort", order)
            expect(first.locator("td").first).to_have_text(name)
            expect(age).to_be_focused()
        heads.nth(2).get_by_role("button").press("Enter")
        expect(view.locator("tbody tr").nth(3).locator("td").nth(2)).to_have_text("")
        press(view, "Next page")
        expect(status).to_contain_text("page 2 of 2")
        check_themes(page, ".jp-agent-table", pictures / "table.png")
        view.get_by_role("searchbox").fill("p2")
        expect(status).to_have_text("11 of 30 rows, page 1 of 1")
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        press(output(page, 0), "Copy as CSV")
        lines = clipboard(page).splitlines()
        assert len(lines) == 12
        assert lines[:2] == ["name,age,score,note", 'P20,20,5.0,"a, ""b"""']
        press(output(page, 0), "Show the original table")
        expect(output(page, 0).locator("table.dataframe")).to_be_visible()
        expect(view).to_have_count(0)


def test_whole_file_of_a_table_is_loaded_from_the_kernel(opened: Opened) -> None:
    with opened("whole.ipynb", ["draw and save"], kernel="agent", height=800) as page:
        explore = start(page, 0).get_by_role("button", name="Explore the table")
        explore.press("Enter", timeout=WAIT)
        view = page.locator(".jp-agent-table")
        expect(view.get_by_role("status")).to_have_text("5 of 5 rows, page 1 of 1")
        press(view, "Load the whole file")
        expect(view.get_by_role("status")).to_have_text("10 of 10 rows, page 1 of 1", timeout=WAIT)
        expect(view.locator("tbody tr").last).to_contain_text("P7")


def test_the_switch_is_saved_and_counts_for_print(opened: Opened, lab_folder: Path) -> None:
    cells = [bundles(shell_call("ls"), shell_output("a"), message("Done."), seconds=0.3)]
    with record(opened, lab_folder, cells, "printed.ipynb") as page:
        expect(cell(page, 0).get_by_role("button", name="1 command, 0.3 s")).to_be_visible(timeout=WAIT)
        lab.command(page, "agent-kernel:show-work")
        expect(output(page, 0)).to_be_visible()
        with page.expect_request("**/nbconvert/agent/printed.ipynb**", timeout=WAIT):
            lab.start_command(page, "apputils:print")
        saved = json.loads((lab_folder / "printed.ipynb").read_text())
        assert saved["metadata"]["agent_kernel"] == {"show_work": True}
        lab.command(page, "agent-kernel:show-work")
        expect(output(page, 0)).to_be_hidden()
