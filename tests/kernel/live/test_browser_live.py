"""What a person sees and does while a turn runs: the real kernel in the real JupyterLab in Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests.kernel import lab
from tests.kernel.live.relay import Relay
from tests.kernel.notebooks import write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(240)]

WAIT = 60_000.0
Opened = Callable[..., AbstractContextManager[Page]]


@pytest.fixture
def opened(lab_tab: Page, lab_address: str, lab_folder: Path) -> Opened:
    """Writes a notebook with these cells and opens it."""

    def opener(name: str, cells: list[str], height: int = 1000) -> AbstractContextManager[Page]:
        write_notebook(lab_folder / name, cells, kernel="agent-live")
        return lab.notebook_in(lab_tab, lab_address, name, height=height)

    return opener


def run(page: Page, number: int = 0) -> Locator:
    """Start a cell; the cell."""
    content = "window.jupyterapp.shell.currentWidget.content"
    page.evaluate(f"(number) => {{ {content}.activeCellIndex = number; }}", number)
    lab.start_command(page, "notebook:run-cell")
    return page.locator(".jp-Cell").nth(number)


def ended(page: Page) -> None:
    page.wait_for_function(f"() => {lab.KERNEL}.status === 'idle'", timeout=WAIT)


def outputs(cell: Locator) -> Locator:
    return cell.locator(".jp-OutputArea")


def test_a_turn_is_seen_in_colours_and_stopped_by_the_keys(opened: Opened, pictures: Path) -> None:
    with opened("live.ipynb", ["@people.csv What is in it? Please show everything"], 1250) as page:
        cell = run(page)
        view = cell.locator(".agent-live")
        running = view.locator(".agent-live-command-block").nth(3)
        expect(running).to_contain_text("while [ ! -e go ]", timeout=WAIT)
        expect(running.locator(".agent-live-outcome")).to_contain_text("running")
        expect(view.locator(".agent-shell-keyword", has_text="for")).to_have_count(1)
        expect(view.locator(".agent-ansi-fg-1")).to_have_text("colour 1")
        expect(view.locator(".agent-live-stderr")).to_contain_text("about to fail")
        expect(view.locator(".agent-live-outcome.agent-live-bad")).to_contain_text("exit 3")
        expect(view.locator("table")).to_contain_text("Ada")
        expect(view.get_by_role("link", name="the manual")).to_have_attribute("rel", "noopener noreferrer")
        lab.picture(page, pictures / "live.png")
        reasoning = view.locator("summary")
        expect(view.get_by_text("Looking around first.")).to_be_hidden()
        reasoning.press("Enter")
        expect(view.get_by_text("Looking around first.")).to_be_visible()

        lab.command(page, "apputils:change-theme", {"theme": "JupyterLab Dark"})
        try:
            expect(page.locator("body[data-jp-theme-light='false']")).to_have_count(1, timeout=WAIT)
            page.wait_for_function(
                f"() => ({BRIGHTNESS})('.agent-live') > 0.7"
            )  # until the style sheet is there
            assert page.evaluate(f"({BRIGHTNESS})('.agent-live .agent-ansi-fg-1')") > 0.4
            expect(page.locator("#jupyterlab-splash")).to_have_count(0, timeout=WAIT)
            lab.picture(page, pictures / "live-dark.png")
        finally:
            lab.command(page, "apputils:change-theme", {"theme": "JupyterLab Light"})
        expect(page.locator("body[data-jp-theme-light='true']")).to_have_count(1, timeout=WAIT)
        expect(page.locator("#jupyterlab-splash")).to_have_count(0, timeout=WAIT)  # it takes the keys

        view.get_by_role("button", name="Stop").press("Enter")
        expect(view).to_have_count(0, timeout=WAIT)
        expect(outputs(cell)).to_contain_text("Stopped by you after")
        expect(outputs(cell)).to_contain_text("colour 6")


BRIGHTNESS = """(selector) => {
  const [r, g, b] = getComputedStyle(document.querySelector(selector)).color.match(/[\\d.]+/g).map(Number);
  return (0.3 * r + 0.6 * g + 0.1 * b) / 255;
}"""


def test_a_second_tab_shows_the_turn_and_can_stop_it(opened: Opened, lab_address: str) -> None:
    with opened("tabs.ipynb", ["wait for ever"]) as page:
        cell = run(page)
        expect(cell.locator(".agent-live-stdout")).to_contain_text("begun", timeout=WAIT)
        lab.command(page, "docmanager:save")
        other = lab.open_tab(page.context, lab_address, "tabs.ipynb")
        view = other.locator(".agent-live")
        expect(view.locator(".agent-live-stdout")).to_contain_text("begun", timeout=WAIT)
        view.get_by_role("button", name="Stop").click()
        expect(view.locator(".agent-live-status")).to_contain_text("Ended", timeout=WAIT)
        expect(outputs(cell)).to_contain_text("Stopped by you after", timeout=WAIT)
        other.close()


def test_a_connection_that_was_lost_comes_back_with_what_was_missed(opened: Opened, relay: Relay) -> None:
    with opened("lost.ipynb", ["print when told"]) as page:
        cell = run(page)
        printed = cell.locator(".agent-live-stdout")
        expect(printed).to_contain_text("waiting", timeout=WAIT)
        page.evaluate(
            f"() => {{ window.statuses = [];"
            f" {lab.KERNEL}.connectionStatusChanged.connect((_, status) => window.statuses.push(status)); }}"
        )
        with relay.cut() as refused:
            page.wait_for_function(
                "() => window.statuses.some(status => status !== 'connected')", timeout=WAIT
            )
            assert refused.wait(WAIT / 1000)
        page.wait_for_function(f"() => {lab.KERNEL}.connectionStatus === 'connected'", timeout=WAIT)
        expect(printed).to_contain_text("tick 60", timeout=WAIT)
        assert printed.inner_text().split() == [
            "waiting",
            *(f"{w}" for n in range(1, 61) for w in ("tick", n)),
        ]


def test_a_line_said_to_the_running_turn_steers_it(opened: Opened, pictures: Path) -> None:
    with opened("steered.ipynb", ["@people.csv wait for ever", "look at the ages instead"], 440) as page:
        cell = run(page)
        view = cell.locator(".agent-live")
        expect(view.locator(".agent-live-stdout")).to_contain_text("begun", timeout=WAIT)
        line = view.get_by_label("Send a message to the running turn")
        line.press_sequentially("look at the ages instead")
        line.press("Enter")
        expect(view.locator(".agent-live-said")).to_contain_text("look at the ages instead", timeout=WAIT)
        expect(view.locator(".agent-live-said")).to_contain_text("reads this after the current step")
        expect(line).to_have_value("")
        lab.picture(page, pictures / "steer.png")
        expect(view).to_have_count(0, timeout=WAIT)
        for words in ("begun", "You, while it ran:", "The ages are 36 and 41."):
            expect(outputs(cell)).to_contain_text(words)
        expect(outputs(cell)).to_contain_text("stopped, because you said something")
        expect(outputs(cell)).not_to_contain_text(re.compile(r"cut off|steered|not begun|exit 1"))
        expect(outputs(run(page, 1))).to_contain_text("The ages are 36 and 41.", timeout=WAIT)


@pytest.fixture
def asking(opened: Opened) -> Callable[[str], AbstractContextManager[Page]]:
    """A notebook whose first cells want an approval."""
    return lambda name: opened(name, ["%approve ask rm *\n\nclean up", "clean up", "clean up", "!ls"], 540)


def test_an_approval_by_click(asking: Callable[[str], AbstractContextManager[Page]], pictures: Path) -> None:
    with asking("approved.ipynb") as page:
        cell = run(page)
        question = cell.get_by_role("group", name="Approval")
        expect(question).to_contain_text("rm -f results.txt", timeout=WAIT)
        expect(cell.locator(".agent-live-status")).to_contain_text("Waiting for you")
        expect(cell.locator(".agent-live-command:visible, .agent-card-command:visible")).to_have_count(1)
        lab.picture(page, pictures / "approval.png")
        question.get_by_role("button", name="Allow once").click()
        expect(outputs(cell)).to_contain_text("Done.", timeout=WAIT)
        expect(outputs(cell)).to_contain_text("removed")
        ended(page)

        cell = run(page, 1)  # once was once
        question = cell.get_by_role("group", name="Approval")
        question.get_by_role("button", name="Edit").click(timeout=WAIT)
        question.get_by_label("Command 1").fill("echo edited > results.txt; cat results.txt")
        question.get_by_role("button", name="Run edited version").click()
        expect(outputs(cell)).to_contain_text("Done.", timeout=WAIT)
        expect(outputs(cell)).to_contain_text("edited")
        ended(page)


def test_an_approval_after_a_reload(asking: Callable[[str], AbstractContextManager[Page]]) -> None:
    with asking("reloaded-approval.ipynb") as page:
        question = run(page).get_by_role("group", name="Approval")
        expect(question).to_contain_text("rm -f results.txt", timeout=WAIT)
        lab.command(page, "docmanager:save")
        page.reload()
        expect(question).to_contain_text("rm -f results.txt", timeout=WAIT)
        question.get_by_role("button", name="Deny").click()
        question.get_by_label("Reason").fill("They are needed.")
        question.get_by_role("button", name="Deny", exact=True).click()
        expect(page.get_by_text("You denied this command: They are needed.")).to_be_visible(timeout=WAIT)
        expect(page.locator(".agent-live-status")).to_contain_text("Ended", timeout=WAIT)
        ended(page)

        cell = run(page, 1)
        question = cell.get_by_role("group", name="Approval")
        question.get_by_role("button", name="Allow this kind").click(timeout=WAIT)
        expect(outputs(cell)).to_contain_text("removed", timeout=WAIT)
        ended(page)
        cell = run(page, 2)  # of a kind that was allowed
        expect(outputs(cell)).to_contain_text("Done.", timeout=WAIT)
        expect(outputs(cell)).to_contain_text("removed")


def test_thousands_of_lines_leave_the_page_usable(opened: Opened) -> None:
    with opened("fast.ipynb", ["print fast"]) as page:
        view = run(page).locator(".agent-live")
        expect(view.locator(".agent-live-stdout")).to_contain_text("line 3000", timeout=WAIT)
        assert 100 < view.locator(".agent-live-line").count() <= 1001
        pane = view.locator(".agent-live-stdout")
        assert pane.evaluate("(e) => e.scrollHeight - e.scrollTop - e.clientHeight < 2")
        page.keyboard.press("Escape")
        view.get_by_role("button", name="Stop").click()
        expect(view).to_have_count(0, timeout=WAIT)


def test_nothing_that_a_turn_says_runs_in_the_page(opened: Opened) -> None:
    asked: list[str] = []

    def watch(request: Request) -> None:
        asked.append(request.url)

    with opened("hostile.ipynb", ["be hostile"]) as page:
        page.on("request", watch)
        view = run(page).locator(".agent-live")
        expect(view.locator(".agent-live-command-block")).to_have_count(2, timeout=WAIT)
        expect(view.locator(".agent-live-stdout")).to_contain_text(
            '<img src=x onerror="window.hostile=3">link red'
        )
        assert view.locator("img, script, iframe, [data-commandlinker-command]").count() == 0
        hrefs = view.locator("a").evaluate_all("(links) => links.map((link) => link.href)")
        assert set(hrefs) <= {"http://127.0.0.1:9/leak.png", "https://example.org/"}
        assert page.evaluate("window.hostile") is None
        view.get_by_role("button", name="Stop").click()
        expect(view).to_have_count(0, timeout=WAIT)
        assert page.evaluate("window.hostile") is None
        page.remove_listener("request", watch)
    assert not [url for url in asked if ":9/" in url]
