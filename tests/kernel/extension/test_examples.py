"""The example notebooks as they are shipped, in a page that does not trust them: answers first.

Set AGENT_KERNEL_PICTURES to a folder to keep the screenshots.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import CHECKOUT
from tests.kernel import lab
from tests.kernel.extension.conftest import Opened
from tests.kernel.extension.page import CONTENT, WAIT, cell
from tests.kernel.extension.test_extension import top

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SCROLL = f"""(beginning) => {{
  const {{ widgets }} = {CONTENT};
  const index = widgets.findIndex((each) => each.model.sharedModel.getSource().startsWith(beginning));
  {CONTENT}.activeCellIndex = index;
  return {CONTENT}.scrollToItem(index, "start").then(() =>
    widgets.slice(0, index).filter((each) => each.model.type === "code").length);
}}"""


@contextmanager
def example(opened: Opened, lab_folder: Path, name: str, **size: int) -> Iterator[Page]:
    """The page with a copy of an example."""
    (lab_folder / name).write_bytes((CHECKOUT / "notebooks" / name).read_bytes())
    with opened(name, None, **size) as page:
        expect(page.locator(".jp-agent-badge").first).to_be_visible(timeout=WAIT)
        yield page


def show(page: Page, beginning: str) -> Locator:
    """Scroll to the cell that begins so; the cell."""
    number: int = page.evaluate(SCROLL, beginning)
    return cell(page, number)


def test_answer_stands_above_its_plot(opened: Opened, lab_folder: Path, pictures: Path) -> None:
    with example(opened, lab_folder, "01_first_questions.ipynb", width=1000, height=1000) as page:
        asked = show(page, "Plot bill length")
        fold = asked.locator(".jp-agent-fold")
        expect(fold).to_contain_text("1 command")
        answer, plot = asked.get_by_text("The 342 birds fall into 3 clouds."), asked.locator("img")
        expect(plot).to_be_visible()
        assert top(answer) < top(fold) < top(plot)
        asked.evaluate("(cell) => cell.scrollIntoView()")
        lab.picture(page, pictures / "notebook.png")


def test_python_of_agent_and_user_is_read(opened: Opened, lab_folder: Path, pictures: Path) -> None:
    with example(opened, lab_folder, "04_one_session.ipynb", height=1400) as page:
        asked = show(page, "Show the residuals.")
        asked.locator(".jp-agent-fold").click()
        expect(asked.locator("img")).to_be_visible()
        expect(asked.get_by_role("link", name="141", exact=True)).to_be_visible()
        lab.picture(asked, pictures / "python.png")
        own = show(page, "%%python\nworst")
        expect(own.locator(".cm-content")).to_have_attribute("data-language", "python")
        expect(own.locator("table")).to_contain_text("Chinstrap")
        page.mouse.move(0, 0)
        lab.picture(own, pictures / "python-own.png")
