"""What a person sees of the desktop while a turn runs, and does there: in the real JupyterLab in Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import Missing
from tests.kernel import lab
from tests.kernel.live.test_browser_live import WAIT, ended, opened, outputs, run

__all__ = ["opened"]

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(300)]

Opened = Callable[..., AbstractContextManager[Page]]
CELLS = ["%container --new memory=4g\n%screen on", "@desk.py Please use the desktop", "%screen"]
SHOWS = """([red, green]) => {
  const canvas = document.querySelector("canvas.agent-live-desktop-screen");
  if (!canvas || !canvas.width || canvas.hidden) return false;
  const [r, g, b] = canvas.getContext("2d").getImageData(canvas.width - 40, canvas.height - 40, 1, 1).data;
  return r === red && g === green && b === 0;
}"""
RED, GREEN = [200, 0], [0, 200]


@pytest.fixture(autouse=True)
def desk_file(lab_folder: Path, missing: Missing) -> None:
    absent = [name for name in ("Xvfb", "openbox", "chromium") if shutil.which(name) is None]
    if absent:
        missing(f"{', '.join(absent)} not installed; .ci/debian-packages does it")
    shutil.copy(Path(__file__).parent / "desk.py", lab_folder)


def shows(page: Page, colour: list[int]) -> None:
    """Wait until the live view shows the page in this colour."""
    page.wait_for_function(SHOWS, arg=colour, timeout=WAIT)


def taken(page: Page) -> tuple[Locator, Locator]:
    """Start the turn and take over; the cell and its desktop."""
    ended(page)
    run(page)
    expect(page.locator(".jp-Cell").nth(0)).to_contain_text("can use the container's desktop", timeout=WAIT)
    cell = run(page, 1)
    desktop = cell.locator(".agent-live-desktop")
    shows(page, RED)
    desktop.get_by_role("button", name="Take over").click()
    expect(desktop).to_contain_text("The agent waits", timeout=WAIT)
    return cell, desktop


def test_the_user_takes_over_types_and_hands_back(opened: Opened, pictures: Path) -> None:
    with opened("desktop.ipynb", CELLS, 1400) as page:
        cell, desktop = taken(page)
        screen = desktop.locator("canvas")
        box = screen.bounding_box()
        assert box is not None
        screen.click(position={"x": box["width"] / 8, "y": box["height"] / 5})
        page.keyboard.type("Gr")
        page.keyboard.insert_text("üße")
        shows(page, GREEN)
        lab.picture(page, pictures / "take-over.png")
        desktop.get_by_role("button", name="Hand back").click()
        expect(cell.locator(".agent-live")).to_have_count(0, timeout=WAIT)
        expect(outputs(cell)).to_contain_text("The user took over the mouse and the keyboard")
        expect(outputs(cell)).to_contain_text("The page has Grüße.")
        expect(outputs(cell).locator("canvas")).to_have_count(0)
        expect(outputs(cell).locator("img").first).to_be_visible()


def test_a_cell_is_stopped_while_the_user_has_the_desktop(opened: Opened) -> None:
    with opened("stopped.ipynb", CELLS, 1400) as page:
        cell, _ = taken(page)
        cell.locator(".agent-live").get_by_role("button", name="Stop").click()
        expect(cell.locator(".agent-live")).to_have_count(0, timeout=WAIT)
        expect(outputs(cell)).to_contain_text("Stopped by you after")
        expect(outputs(run(page, 2)).locator("img").first).to_be_visible(timeout=WAIT)


def test_the_desktop_in_a_tab_is_taken_over_while_a_cell_waits(opened: Opened, pictures: Path) -> None:
    cells = [CELLS[0], "@desk.py Please open the page", "%screen open", "click beside the text"]
    with opened("tab.ipynb", cells, 900) as page:
        ended(page)
        run(page)
        expect(outputs(run(page, 1))).to_contain_text("It is open.", timeout=WAIT)
        cell = run(page, 2)
        with page.context.expect_page() as found:
            cell.get_by_role("link", name="Open the desktop").click(timeout=WAIT)
        tab = found.value
        shows(tab, RED)
        assert tab.url.rpartition(":")[2].endswith("/"), "the token is out of the address"
        expect(outputs(cell)).to_contain_text("The desktop is open in a browser tab.", timeout=WAIT)
        expect(cell.get_by_role("link")).to_have_count(0)

        tab.get_by_role("button", name="Take over").click()
        expect(tab.get_by_role("status")).to_contain_text("You have the mouse", timeout=WAIT)
        screen = tab.locator("canvas")
        box = screen.bounding_box()
        assert box is not None
        screen.click(position={"x": box["width"] / 8, "y": box["height"] / 5})
        tab.keyboard.type("Gr")
        tab.keyboard.insert_text("üße")
        shows(tab, GREEN)
        lab.picture(tab, pictures / "desktop-tab.png")

        waits = run(page, 3)
        expect(waits.locator(".agent-live-desktop")).to_contain_text(
            "Taken over in another place", timeout=WAIT
        )
        tab.get_by_role("button", name="Hand back").click()
        expect(outputs(waits)).to_contain_text("Clicked.", timeout=WAIT)
        expect(outputs(waits)).to_contain_text("The user took over the mouse and the keyboard")
        tab.close()
