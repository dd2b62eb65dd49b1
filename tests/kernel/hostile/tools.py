"""What the extension offers for an output, used on everything that is hostile."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from agent_kernel.kernel.cells import MagicLine, parse
from agent_kernel.kernel.transfer.mentions import mentions
from tests.kernel.hostile.charts import CHART_PAGES, CHARTS

WAIT = 90_000.0
"""Milliseconds: how long a page may take on a busy machine."""

TOUCH = """(root) => {
  for (const fold of root.querySelectorAll('details')) fold.open = true;
  let touched = 0;
  for (const element of root.querySelectorAll('*')) {
    for (const kind of ['mouseover', 'mouseenter', 'mousemove', 'focus', 'focusin', 'toggle'])
      element.dispatchEvent(new MouseEvent(kind, { bubbles: true }));
    if (element.closest('a[href^="http"], a[href^="mailto"]')) continue;
    element.dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true }));
    touched += 1;
  }
  return touched;
}"""
TABLES = """() => {
  const buttons = [...document.querySelectorAll('.jp-agent-tools button')];
  const explore = buttons.filter((button) => button.textContent === 'Explore the table');
  for (const button of explore) button.click();
  return explore.length;
}"""
DRAWN = """() => {
  const chart = document.getElementById('chart');
  return chart && (chart.hasAttribute('data-drawn') || chart.textContent.startsWith('This chart could not'));
}"""
MAKE = """([name, number]) => {
  const buttons = [...document.querySelectorAll('.jp-agent-tools button')];
  buttons.filter((button) => button.textContent === name)[number].click();
  const { content } = window.jupyterapp.shell.currentWidget;
  const { sharedModel } = content.model;
  const source = content.activeCell.model.sharedModel.getSource();
  sharedModel.deleteCell(content.activeCellIndex);
  return source;
}"""


def explore(page: Page) -> None:
    """Explore all tables, and click everything in them."""
    explored: int = page.evaluate(TABLES)
    assert explored > 15
    tables = page.locator(".jp-agent-table")
    expect(tables).to_have_count(explored)
    page.evaluate(f"() => [...document.querySelectorAll('.jp-agent-table')].map({TOUCH})")
    assert tables.locator(":is(img, script, iframe, a, svg, style)").count() == 0


def draw(page: Page) -> None:
    """Draw each chart in its frame, hover over it, click it and its links, and close it again."""
    opens = page.locator(".jp-Cell").last.get_by_role("button", name="Open the chart")
    expect(opens).to_have_count(len(CHARTS) + len(CHART_PAGES))
    for number in range(opens.count()):
        before = {*page.frames}
        opens.nth(number).press("Enter")  # pages that still load move the button from under a pointer
        frames = page.locator(".jp-agent-chart-frame")
        frames.content_frame.locator("iframe").wait_for(timeout=WAIT)
        (frame,) = (
            each for each in page.frames if each not in before and each.parent_frame != page.main_frame
        )
        frame.wait_for_function(DRAWN, timeout=WAIT)
        frame.evaluate(f"() => ({TOUCH})(document.body)")
        for link in frame.locator("a").all():
            link.dispatch_event("click")
        page.get_by_role("button", name="Close the chart").press("Enter")
        expect(frames).to_have_count(0)


def ask(page: Page) -> None:
    """Make prompts and cells of what was hostile; the kernel reads them as prompts and shell cells."""
    cells = page.locator(".jp-Notebook .jp-Cell")
    before = cells.count()
    for number in range(0, 18, 3):
        for name in ("Fix this", "Explain"):
            asked = parse(page.evaluate(MAKE, [name, number]))
            assert (asked.lines, [*mentions(asked.prompt)]) == ((), [])
        made = parse(page.evaluate(MAKE, ["Make it a shell cell", number]))
        assert [each.name for each in made.lines if isinstance(each, MagicLine)] == ["%bash"]
        assert (len(made.lines), made.prompt) == (1, "")
    expect(cells).to_have_count(before)
