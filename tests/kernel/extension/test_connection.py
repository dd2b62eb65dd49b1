"""Panels, toolbar and inbox stay right: hidden and second tabs, restart, lost connection, other notebooks."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.kernel import lab
from tests.kernel.extension.conftest import Opened
from tests.kernel.extension.page import WAIT, cell, check_themes, start, violations
from tests.kernel.extension.test_settings import form, save, show_settings
from tests.kernel.live.relay import Relay
from tests.kernel.notebooks import write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(300)]

HIDE = """(state) => {
  Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
# Chromium's shell never grants this permission.
RECORD = """() => {
  const Shown = window.Notification;
  window.shown = [];
  window.Notification = class extends Shown {
    static get permission() { return "granted"; }
    constructor(title, options) { super(title, options); window.shown.push(options.body); }
  };
}"""


CLOSE = f"() => {{ {lab.KERNEL}._ws.close(1000); }}"
"""JupyterLab does not connect again after this code. After others it gives up too, but only in minutes."""


def ask(page: Page) -> None:
    """Run the two cells of a notebook until a turn waits for the user."""
    expect(start(page, 0)).to_contain_text("You are asked before", timeout=WAIT)
    start(page, 1)
    expect(page.locator(".jp-agent-status:visible")).to_contain_text("Waiting for you", timeout=WAIT)


def test_approval_in_a_hidden_tab_is_seen_and_answered(opened: Opened, pictures: Path) -> None:
    with opened("hidden.ipynb", ["%approve ask rm *", "clean up"], height=700) as page:
        page.evaluate(RECORD)
        page.evaluate(HIDE, "hidden")
        ask(page)
        page.wait_for_function("() => document.title.startsWith('(1) ')", timeout=WAIT)
        assert page.evaluate("() => window.shown") == ["hidden.ipynb is waiting for your approval."]
        toast = page.locator(".Toastify__toast", has_text="hidden.ipynb is waiting for your approval.")
        expect(toast).to_be_visible(timeout=WAIT)
        lab.picture(page, pictures / "hidden.png")
        toast.get_by_role("button", name="Answer").click()
        page.locator(".jp-agent-card").get_by_role("button", name="Allow once").click()
        expect(cell(page, 1).locator(".jp-InputPrompt")).to_have_text("[2]:", timeout=WAIT)
        page.wait_for_function("() => !document.title.startsWith('(')", timeout=WAIT)
        expect(toast).to_have_count(0, timeout=WAIT)
        page.evaluate(HIDE, "visible")


def test_question_of_a_tab_behind_outlives_a_reload(
    context: BrowserContext, address: str, lab_folder: Path
) -> None:
    for name, cells in (("behind.ipynb", ["%approve ask rm *", "clean up"]), ("before.ipynb", ["%model"])):
        write_notebook(lab_folder / name, cells, kernel="agent-live")
    with context.new_page() as page:
        path, _, token = address.partition("?")
        page.goto(f"{path}/workspaces/two/tree/behind.ipynb?{token}", timeout=lab.START_MILLISECONDS)
        page.wait_for_function(f"() => {lab.KERNEL}?.status === 'idle'", timeout=lab.START_MILLISECONDS)
        ask(page)
        with page.expect_request(lambda sent: "/api/workspaces/two" in sent.url and sent.method == "PUT"):
            lab.command(page, "docmanager:open", {"path": "before.ipynb"})
        page.wait_for_function(f"() => {lab.KERNEL}?.status === 'idle'", timeout=lab.START_MILLISECONDS)
        lab.command(page, "docmanager:save")
        page.goto(f"{path}/workspaces/two?{token}", timeout=lab.START_MILLISECONDS)
        expect(page.locator(".jp-agent-inbox-waits")).to_have_text("1", timeout=WAIT)
        page.evaluate("() => window.jupyterapp.restored.then(() => null)")  # which may close the panel again
        lab.command(page, "agent-kernel:show-approvals")
        page.locator(".jp-agent-card").get_by_role("button", name="Allow once").click()
        expect(page.locator(".jp-agent-inbox-waits")).to_have_count(0, timeout=WAIT)
        page.evaluate(lab.SHUT_DOWN)


def test_question_of_a_closed_notebook_is_found_and_answered(
    opened: Opened, lab_folder: Path, pictures: Path
) -> None:
    write_notebook(lab_folder / "left.ipynb", ["%model"], kernel="agent-live")
    with opened("closed.ipynb", ["%approve ask rm *", "clean up"], height=700) as page:
        ask(page)
        lab.command(page, "docmanager:save")
        page.evaluate(f"() => {lab.WIDGET}.dispose()")
        lab.command(page, "docmanager:open", {"path": "left.ipynb"})
        lab.command(page, "agent-kernel:show-approvals")
        where = page.get_by_role("button", name="closed.ipynb, which is not open")
        expect(where).to_be_visible(timeout=WAIT)
        lab.picture(page, pictures / "closed.png")
        where.click()
        # The live view comes back too, unless the kernel takes more than the 4 s that ipywidgets waits.
        expect(page.locator(".jp-agent-inbox")).to_contain_text("closed.ipynb, cell 2 of 2", timeout=WAIT)
        expect(page.locator(".jp-agent-card")).to_have_count(1)
        page.evaluate(f"() => {lab.WIDGET}.dispose()")
        expect(where).to_be_visible(timeout=WAIT)
        page.locator(".jp-agent-card").get_by_role("button", name="Allow once").click()
        expect(page.locator(".jp-agent-inbox")).to_contain_text("Nothing is waiting for you", timeout=WAIT)


def test_two_tabs_show_the_same_question_settings_and_cell(
    opened: Opened, context: BrowserContext, address: str
) -> None:
    with opened("both.ipynb", ["%approve ask rm *", "clean up", "wait for ever"]) as page:
        ask(page)
        lab.command(page, "docmanager:save")
        other = lab.open_tab(context, address, "both.ipynb")
        expect(other.locator(".jp-agent-status")).to_contain_text("Waiting for you", timeout=WAIT)
        lab.command(other, "agent-kernel:show-approvals")
        other.locator(".jp-agent-card").get_by_role("button", name="Deny …").click()
        other.get_by_label("Reason").fill("Keep them.")
        other.get_by_label("Reason").press("Enter")
        for each in (page, other):
            expect(each.locator(".jp-agent-status")).to_contain_text("Idle", timeout=WAIT)
            expect(each.locator(".jp-agent-card")).to_have_count(0)
            show_settings(each)
        expect(cell(page, 1)).to_contain_text("Keep them.")
        form(other, "Budget").get_by_label("Seconds").fill("600")
        save(form(other, "Budget"))
        expect(form(page, "Budget").get_by_label("Seconds")).to_have_value("600", timeout=WAIT)
        start(page, 2)
        for each in (page, other):
            expect(each.locator(".jp-agent-status")).to_contain_text(
                re.compile(r"Cell 3 of 3, \d+ s"), timeout=WAIT
            )
        other.locator(".jp-agent-status").get_by_role("button", name="Stop").click()
        for each in (page, other):
            expect(each.locator(".jp-agent-status")).to_contain_text("Idle", timeout=WAIT)
        other.close()


def test_restart_withdraws_the_question_and_the_settings(opened: Opened) -> None:
    with opened("again.ipynb", ["%approve ask rm *", "clean up", "wait for ever"]) as page:
        status = page.locator(".jp-agent-status")
        start(page, 2)
        expect(status).to_contain_text("Cell 3 of 3", timeout=WAIT)
        restart(page)
        start(page, 2)
        expect(status).to_contain_text("Cell 3 of 3", timeout=WAIT)
        status.get_by_role("button", name="Stop").click()
        expect(status).to_contain_text("Idle", timeout=WAIT)
        show_settings(page)
        ask(page)
        lab.command(page, "agent-kernel:show-approvals")
        expect(page.locator(".jp-agent-card")).to_have_count(1)
        restart(page)
        expect(page.locator(".jp-agent-card")).to_have_count(0)
        expect(page.locator(".jp-agent-inbox-waits")).to_have_count(0)
        lab.command(page, "agent-kernel:show-settings")
        expect(form(page, "Approvals").locator(".jp-agent-rules tr")).to_contain_text(
            ["All commands run."], timeout=WAIT
        )


def restart(page: Page) -> None:
    """Restart the kernel while a cell runs."""
    page.evaluate(f"() => {lab.KERNEL}.restart()")
    status = page.locator(".jp-agent-status")
    expect(status).to_contain_text("No container yet", timeout=WAIT)
    expect(status).to_contain_text("Idle", timeout=WAIT)


def test_lost_connection_is_said_and_made_up_for(
    opened: Opened, context: BrowserContext, address: str
) -> None:
    relay = Relay(urlsplit(address).port or 0)
    with opened("lost.ipynb", ["%approve ask rm *", "clean up"]) as page:
        far = lab.open_tab(context, relay.address(address), "lost.ipynb")
        status = far.locator(".jp-agent-status")
        expect(status).to_contain_text("Idle", timeout=WAIT)
        with relay.cut() as refused:
            expect(status).to_contain_text("Connecting", timeout=WAIT)
            ask(page)
            assert refused.wait(60)
        expect(status).to_contain_text("Waiting for you", timeout=WAIT)
        lab.command(far, "agent-kernel:show-approvals")
        far.locator(".jp-agent-card").get_by_role("button", name="Allow once").click()
        for each in (page, far):
            expect(each.locator(".jp-agent-status")).to_contain_text("Idle", timeout=WAIT)
            expect(each.locator(".jp-agent-card")).to_have_count(0)
        lab.command(far, "agent-kernel:show-settings")
        settings = far.locator(".jp-agent-settings-view")
        far.evaluate(CLOSE)
        expect(status).to_contain_text("Not connected", timeout=WAIT)
        expect(far.locator(".jp-agent-statusbar")).to_have_text("Not connected")
        expect(settings).to_contain_text("The kernel is not connected.")
        assert violations(far, ".jp-agent-status") == []
        status.get_by_role("button", name="Reconnect").click()
        expect(status).to_contain_text("Idle", timeout=WAIT)
        expect(status.get_by_role("button", name="Reconnect")).to_have_count(0)
        expect(settings).not_to_contain_text("The kernel is not connected.")
        far.close()
    relay.close()


def test_second_notebook_has_its_own_settings_and_question(
    opened: Opened, lab_folder: Path, pictures: Path
) -> None:
    write_notebook(lab_folder / "second.ipynb", ["%budget tokens=5"], kernel="agent-live")
    with opened("first.ipynb", ["%approve ask rm *", "clean up"], height=700) as page:
        show_settings(page)
        form(page, "Instructions").get_by_label("This notebook").fill("Not saved yet.")
        ask(page)
        lab.command(page, "docmanager:open", {"path": "second.ipynb"})
        expect(page.locator(".jp-agent-status:visible")).to_contain_text("Idle", timeout=WAIT)
        settings = page.locator(".jp-agent-panel:visible")
        expect(settings).to_contain_text("second.ipynb", timeout=WAIT)
        expect(form(page, "Instructions").get_by_label("This notebook")).to_have_value("")
        expect(form(page, "Approvals").locator(".jp-agent-rules")).to_contain_text(
            "All commands run.", timeout=WAIT
        )
        toast = page.locator(".Toastify__toast", has_text="first.ipynb is waiting for your approval.")
        expect(toast).to_be_visible(timeout=WAIT)
        toast.get_by_role("button", name="Answer").click()
        expect(page.locator(".jp-agent-inbox")).to_contain_text("first.ipynb, cell 2 of 2")
        expect(toast).to_have_count(0, timeout=WAIT)
        check_themes(page, ".jp-agent-inbox", pictures / "second.png")
        page.get_by_role("button", name="first.ipynb, cell 2 of 2").click()
        expect(page.locator(".jp-agent-status:visible")).to_contain_text("Waiting for you")
        lab.command(page, "agent-kernel:show-settings")
        expect(form(page, "Instructions").get_by_label("This notebook")).to_have_value("Not saved yet.")
        lab.command(page, "agent-kernel:show-approvals")
        page.locator(".jp-agent-card").get_by_role("button", name="Allow once").click()
        expect(page.locator(".jp-agent-status:visible")).to_contain_text("Idle", timeout=WAIT)
        expect(page.locator(".jp-agent-inbox-waits")).to_have_count(0)
        lab.command(page, "docmanager:open", {"path": "second.ipynb"})
        page.evaluate(f"() => {lab.WIDGET}.dispose()")
        lab.command(page, "docmanager:open", {"path": "first.ipynb"})
