"""Everything that the extension shows: axe-core in each theme, keys alone, no motion, a narrow window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.kernel import lab
from tests.kernel.extension.page import WAIT, cell, our_violations, start, themed
from tests.kernel.notebooks import write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(300)]

FRAME = "%%python\nimport pandas as pd\nsales = pd.DataFrame({'city': ['Köln'] * 30, 'sum': range(30)})"
CELLS = ["!touch go", "show everything", "%approve ask rm *", FRAME, "clean up", ""]
THEMES = ["JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"]
CONTROLS = "button, input, select, textarea, summary, a[href], [tabindex='0']"
CARD = ".jp-agent-inbox .jp-agent-card"
MOVING = """() => document.getAnimations()
  .map((each) => each.effect.target).filter((each) => each.closest("[class*='agent-']"))
  .filter((each) => !each.matches(".cm-cursorLayer"))
  .map((each) => each.outerHTML.slice(0, 100))"""
"""What of ours moves: the cursor that blinks in the cell with the focus is CodeMirror's."""


def fill(page: Page) -> None:
    """Run the cells before the last two, and look at a variable."""
    for number in range(4):
        prompt = start(page, number).locator(".jp-InputPrompt")
        expect(prompt).to_have_text(f"[{number + 1}]:", timeout=WAIT)
    lab.command(page, "agent-kernel:show-variables")
    page.locator(".jp-agent-variables-view").get_by_role("button", name="sales").click(timeout=WAIT)
    expect(page.get_by_role("button", name="Open the whole table")).to_be_visible(timeout=WAIT)


def ask(page: Page) -> None:
    """Run a cell that waits for an answer, with the example questions below the next one."""
    start(page, 4)
    expect(page.locator(".jp-agent-status.jp-agent-waiting:visible")).to_have_count(1, timeout=WAIT)
    cell(page, 5).locator(".cm-content").click()
    expect(page.get_by_role("group", name="Example questions")).to_be_visible(timeout=WAIT)


@pytest.fixture(scope="module")
def full(lab_tab: Page, address: str, lab_folder: Path) -> Iterator[Page]:
    """A page of JupyterLab with a notebook, files, a variable, and its table in a tab behind the notebook."""
    write_notebook(lab_folder / "full.ipynb", CELLS, kernel="agent-live")
    with lab.notebook_in(lab_tab, address, "full.ipynb", width=1300, height=900):
        lab_tab.evaluate(WATCH)
        fill(lab_tab)
        lab.command(lab_tab, "agent-kernel:show-files")
        expect(lab_tab.locator(".jp-agent-file").first).to_be_visible(timeout=WAIT)
        yield lab_tab


@pytest.fixture(scope="module")
def asking(full: Page) -> Page:
    """The page, with a turn that waits for the person."""
    show(full, ".jp-NotebookPanel")
    ask(full)
    return full


WATCH = """() => {
  const look = (at) => {
    const style = getComputedStyle(at);
    const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    if (!window.visited.get(at)) window.visited.set(at, ring || style.boxShadow !== "none");
  };
  window.visited = new Map();
  document.addEventListener("focusin", ({ target }) => look(target));
}"""
"""Remembers what has had the focus, and whether one saw that."""

LEFT = """([region, controls]) => [...document.querySelectorAll(region)]
  .flatMap((each) => [...each.querySelectorAll(controls)])
  .filter((each) => !each.disabled && each.checkVisibility({ visibilityProperty: true }))
  .filter((each) => !window.visited.get(each))
  .map((each) => (window.visited.has(each) ? "focus not seen: " : "") + each.outerHTML.slice(0, 120))"""


def walk(page: Page, region: str, key: str = "Tab", most: int = 80) -> None:
    """Go through the controls of a region by a key, until each that is not disabled has had the focus.

    One sees which has it.
    """
    left: list[str] = []
    for pressed in range(most):
        left = page.evaluate(LEFT, [region, CONTROLS]) if pressed % 10 == 0 else left
        if not left:
            return
        page.keyboard.press(key)
    raise AssertionError(left)


def palette(page: Page, label: str) -> None:
    """Choose a command with the keys."""
    page.keyboard.press("ControlOrMeta+Shift+C")
    page.keyboard.type(label)
    expect(page.locator(".lm-CommandPalette-item.lm-mod-active")).to_contain_text(label)
    page.keyboard.press("Enter")


def show(page: Page, selector: str) -> None:
    """Show a tab of the main area."""
    page.evaluate("(s) => window.jupyterapp.shell.activateById(document.querySelector(s).id)", selector)
    expect(page.locator(selector)).to_be_visible()


def test_every_control_of_the_panels_is_reached_by_keys(full: Page, pictures: Path) -> None:
    full.locator(".jp-NotebookPanel-toolbar jp-button:visible").first.focus()
    full.keyboard.press("ArrowRight")
    walk(full, ".jp-agent-status", key="ArrowRight")
    full.locator(".jp-agent-status-about").press("Enter")
    expect(full.locator(".jp-agent-settings-view")).to_be_visible()
    walk(full, ".jp-agent-settings-view")
    palette(full, "Show Agent Variables")
    walk(full, ".jp-agent-variables-view")
    palette(full, "Show Agent History")
    expect(full.locator(".jp-agent-history-cell")).not_to_have_count(0, timeout=WAIT)
    walk(full, ".jp-agent-history")
    lab.command(full, "agent-kernel:show-variables")
    full.get_by_role("button", name="Open the whole table").press("Enter")
    table = full.locator(".jp-agent-variable-table")
    expect(table.locator(".jp-agent-table-said")).to_contain_text("30 of 30 rows", timeout=WAIT)
    walk(full, ".jp-agent-variable-table")
    table.get_by_role("button", name="Next page").press("Enter")
    expect(table.locator(".jp-agent-table-said")).to_contain_text("page 2 of 2")
    full.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    lab.picture(full, pictures / "variable-table.png")
    lab.command(full, "agent-kernel:show-files")
    with themed(full, "JupyterLab Dark"):
        lab.picture(full, pictures / "variable-table-dark.png")
        assert our_violations(full) == []


def test_a_question_is_reached_and_answered_by_keys(asking: Page, pictures: Path) -> None:
    asking.keyboard.press("Escape")
    walk(asking, ".jp-NotebookPanel .agent-live", key="Shift+Tab")
    palette(asking, "Show Approvals")
    walk(asking, ".jp-agent-inbox")
    asking.locator(CARD).get_by_role("button", name="Edit …").press("Space")
    expect(asking.locator(CARD).get_by_label("Command 1")).to_be_focused()
    asking.locator(CARD).get_by_role("button", name="Deny …").press("Space")
    expect(asking.locator(CARD).get_by_label("Reason")).to_be_focused()
    walk(asking, CARD)
    lab.picture(asking, pictures / "keys.png")


@pytest.fixture(scope="module")
def tabs(asking: Page) -> Page:
    """The page, also with a terminal and the set-up page as tabs behind the notebook."""
    lab.command(asking, "agent-kernel:open-terminal")
    expect(asking.locator(".jp-agent-terminal .xterm-rows")).to_contain_text("$", timeout=WAIT)
    lab.command(asking, "agent-kernel:set-up")
    expect(asking.locator(".jp-agent-check")).not_to_have_count(0, timeout=WAIT)
    return asking


SHOWN = {
    "settings": ".jp-NotebookPanel",
    "variables": ".jp-agent-terminal",
    "history": ".jp-agent-variable-table",
    "approvals": ".jp-agent-welcome",
}
"""What stands beside each panel of the right side, so that all is looked at in few goes."""


@pytest.mark.parametrize("theme", THEMES)
def test_nothing_serious_in_any_theme(tabs: Page, theme: str, pictures: Path) -> None:
    with themed(tabs, theme):
        for name, beside in SHOWN.items():
            lab.command(tabs, f"agent-kernel:show-{name}")
            show(tabs, beside)
            lab.picture(tabs, pictures / f"all-{theme.lower().replace(' ', '-')}-{name}.png")
            assert our_violations(tabs) == []


def test_nothing_moves_for_who_wants_no_motion(tabs: Page) -> None:
    show(tabs, ".jp-NotebookPanel")
    assert "agent-live-dot" in str(tabs.evaluate(MOVING))
    tabs.emulate_media(reduced_motion="reduce")
    assert tabs.evaluate(MOVING) == []
    show(tabs, ".jp-agent-terminal")
    tabs.locator(".jp-agent-terminal .xterm").click()
    assert tabs.evaluate(MOVING) == []
    tabs.emulate_media(reduced_motion="no-preference")


def test_panels_fit_beside_a_notebook_in_a_narrow_window(tabs: Page, pictures: Path) -> None:
    show(tabs, ".jp-NotebookPanel")
    tabs.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    tabs.set_viewport_size({"width": 800, "height": 700})
    for name in SHOWN:
        lab.command(tabs, f"agent-kernel:show-{name}")
        panel = tabs.locator(f"#jp-agent-{'inbox' if name == 'approvals' else name}")
        expect(panel).to_be_visible()
        assert panel.evaluate("(panel) => panel.scrollWidth - panel.clientWidth") == 0
        lab.picture(tabs, pictures / f"narrow-{name}.png")
    tabs.evaluate("() => window.jupyterapp.shell.collapseRight()")
    expect(tabs.locator(".jp-agent-status-doing:visible")).to_be_in_viewport(ratio=1)
    tabs.set_viewport_size({"width": 1300, "height": 900})


def test_nothing_serious_in_notebook_7_in_the_dark(
    context: BrowserContext, address: str, lab_folder: Path, pictures: Path
) -> None:
    write_notebook(lab_folder / "dark.ipynb", CELLS, kernel="agent-live")
    server, _, token = address.partition("/lab?")
    with context.new_page() as page:
        page.set_viewport_size({"width": 1100, "height": 900})
        page.goto(f"{server}/notebooks/dark.ipynb?{token}", timeout=lab.START_MILLISECONDS)
        page.wait_for_function(f"() => {lab.KERNEL}?.status === 'idle'", timeout=lab.START_MILLISECONDS)
        fill(page)
        ask(page)
        with themed(page, "JupyterLab Dark"):
            for name in ("agent-kernel:show-approvals", "agent-kernel:show-history", "agent-kernel:set-up"):
                lab.command(page, name)
                assert our_violations(page) == []
            expect(page.locator(".jp-agent-check")).not_to_have_count(0, timeout=WAIT)
            assert our_violations(page) == []
            lab.picture(page, pictures / "all-notebook7-dark.png")
        page.evaluate(lab.SHUT_DOWN)
