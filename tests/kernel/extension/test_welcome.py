"""The set-up page: offered when something is missing; prepares, tests, and opens an example."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.kernel import lab
from tests.kernel.extension.conftest import Opened
from tests.kernel.extension.page import WAIT, check_themes
from tests.kernel.notebooks import write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(300)]

HIDE_PATHS = """(page) => page.querySelectorAll(".jp-agent-check").forEach((each) => {
  each.hidden = each.textContent.includes("/");
})"""
"""The picture is in the guide, and names nothing of this machine."""
CURRENT = f"{lab.WIDGET}?.context?.path"


def test_setup_is_offered_and_mends_what_is_missing(
    context: BrowserContext, address: str, lab_folder: Path, pictures: Path
) -> None:
    """In a new page: it is offered once, with the first notebook."""
    write_notebook(lab_folder / "bare.ipynb", [""], kernel="agent-bare")
    with context.new_page() as page, lab.notebook_in(page, address, "bare.ipynb", height=900):
        offer = page.get_by_role("alert").filter(has_text="Agent notebooks cannot run yet")
        expect(offer).to_contain_text("Missing: bubblewrap.", timeout=WAIT)
        page.get_by_role("button", name="Set up").click()
        welcome = page.locator(".jp-agent-welcome")
        expect(welcome.locator(".jp-agent-welcome-summary")).to_have_text(
            "Missing: bubblewrap.", timeout=WAIT
        )
        missing = welcome.locator(".jp-agent-check-missing")
        expect(missing).to_contain_text("agent-kernel image build")
        welcome.evaluate(HIDE_PATHS)
        welcome.get_by_label("Name of the model").fill("openai/gpt-5")
        check_themes(page, ".jp-agent-welcome", pictures / "setup.png")
        page.set_viewport_size({"width": 480, "height": 900})
        width = "(e) => [e.scrollWidth, e.clientWidth]"
        assert len(set(welcome.evaluate(width))) == 1
        lab.picture(page, pictures / "setup-narrow.png")
        page.set_viewport_size({"width": 1100, "height": 900})

        welcome.get_by_role("button", name="Prepare the sandbox").press("Enter")
        expect(welcome.locator(".jp-agent-welcome-step")).not_to_be_empty(timeout=WAIT)
        welcome.get_by_role("button", name="Cancel").press("Enter")
        problem = welcome.locator(".jp-agent-welcome-problem")
        expect(problem).to_have_text("The preparation was cancelled. Nothing partial is left.", timeout=WAIT)
        expect(welcome.get_by_role("button", name="Prepare the sandbox")).to_be_visible()

        welcome.get_by_label("Name of the model").fill("nosuch/model")
        welcome.get_by_role("button", name="Test").press("Enter")
        result = welcome.locator(".jp-agent-welcome-result")
        expect(result).to_contain_text("nosuch", timeout=WAIT)
        lab.picture(page, pictures / "setup-tested.png")

        welcome.get_by_role("button", name="Open an example").press("Enter")
        page.wait_for_function(f"() => {CURRENT} === 'agent-example/01_first_questions.ipynb'", timeout=WAIT)
        assert (lab_folder / "agent-example" / "data" / "penguins.csv").exists()
        page.evaluate(f"() => {lab.WIDGET}.dispose()")
        lab.command(page, "agent-kernel:set-up")
        expect(welcome).to_be_visible()


def test_setup_without_a_notebook_asks_a_kernel_of_its_own(opened: Opened, pictures: Path) -> None:
    with opened("python.ipynb", ["1"], kernel="python3") as page:
        lab.command(page, "launcher:create")
        card = page.locator(".jp-LauncherCard[data-category='Notebook']", has_text="Agent").first
        logo = card.locator("img")
        page.wait_for_function("(logo) => logo.naturalWidth > 0", arg=logo.element_handle(), timeout=WAIT)
        lab.picture(page, pictures / "launcher.png")
        lab.command(page, "agent-kernel:set-up")
        welcome = page.locator(".jp-agent-welcome")
        expect(welcome.locator(".jp-agent-check")).not_to_have_count(0, timeout=WAIT)
        expect(welcome.get_by_role("button", name="Use in this notebook")).to_be_hidden()
        kernels = "() => window.jupyterapp.serviceManager.kernels.refreshRunning().then("
        kernels += "() => [...window.jupyterapp.serviceManager.kernels.running()].length)"
        before = page.evaluate(kernels)
        page.evaluate(f"() => {lab.WIDGET}.dispose()")
        page.wait_for_function(f"(before) => ({kernels})().then((left) => left < before)", arg=before)
