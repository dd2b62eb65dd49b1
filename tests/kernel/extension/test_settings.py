"""The panels with settings and variables: the real kernel in the real JupyterLab in Chromium."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.kernel import lab
from tests.kernel.extension.conftest import Opened
from tests.kernel.extension.page import WAIT, check_themes, dark, start, violations

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.timeout(300)]


STYLED = """from IPython.display import HTML
HTML("<style>td { background: #ff8 }</style><table><tr><td>styled</td></tr></table>")"""


def form(page: Page, name: str) -> Locator:
    return page.locator(f".jp-agent-form[aria-label='{name}']")


def show_settings(page: Page) -> None:
    page.locator(".jp-agent-status-about").click()
    expect(form(page, "Container")).to_contain_text(re.compile("No container yet|id"), timeout=WAIT)


def save(shown: Locator, button: str = "Save") -> None:
    shown.get_by_role("button", name=button, exact=True).click()


def test_forms_and_lines_have_the_same_settings(opened: Opened, pictures: Path) -> None:
    cells = ["%budget", "%budget tokens=1000", "%instructions", "%model openai/gpt-5-mini", "wait for ever"]
    with opened("settings.ipynb", cells, height=1000) as page:
        expect(start(page, 3)).to_contain_text("Cells now use openai/gpt-5-mini", timeout=WAIT)
        show_settings(page)
        expect(form(page, "Model").get_by_label("Model", exact=True)).to_have_value("openai/gpt-5-mini")
        check_themes(page, ".jp-agent-settings-view", pictures / "settings.png")
        budget, instructions = form(page, "Budget"), form(page, "Instructions")
        budget.get_by_label("Seconds").fill("soon")
        instructions.get_by_label("This notebook").fill("Be brief.")
        save(budget)
        expect(budget.locator(".jp-agent-wrong", has_text="seconds cannot be")).to_be_visible(timeout=WAIT)
        expect(budget.get_by_label("Seconds")).to_have_attribute("aria-invalid", "true")
        expect(budget.get_by_label("Seconds")).to_be_focused()
        expect(start(page, 1)).to_contain_text("1,000 tokens", timeout=WAIT)
        expect(budget.get_by_label("Tokens")).to_have_value("1000", timeout=WAIT)
        expect(budget.get_by_label("Seconds")).to_have_value("soon")
        expect(instructions.get_by_label("This notebook")).to_have_value("Be brief.")
        budget.get_by_label("Seconds").fill("600")
        save(budget)
        expect(budget.locator(".jp-agent-form-said")).to_have_text("Saved.", timeout=WAIT)
        expect(start(page, 0)).to_contain_text("1,000 tokens, 600 seconds", timeout=WAIT)
        model = form(page, "Model")
        model.get_by_label("Model", exact=True).select_option(label="Default model")
        save(model, "Use this model")
        expect(model).to_contain_text("The next cell uses it", timeout=WAIT)
        start(page, 4)
        expect(page.locator(".jp-agent-settings-view")).to_contain_text("A cell is running", timeout=WAIT)
        save(instructions)
        expect(instructions.locator(".jp-agent-form-said")).to_contain_text("Saved.", timeout=WAIT)
        save(form(page, "Container"), "Reset the shell")
        expect(form(page, "Container")).to_contain_text("A cell is running. Try again", timeout=WAIT)
        page.locator(".jp-agent-status").get_by_role("button", name="Stop").click()
        expect(page.locator(".jp-agent-status")).to_contain_text("Idle", timeout=WAIT)
        expect(start(page, 2)).to_contain_text("Be brief.", timeout=WAIT)


def test_model_is_chosen_and_tested(opened: Opened) -> None:
    with opened("model.ipynb", ["%model"], height=700) as page:
        show_settings(page)
        model = form(page, "Model")
        model.get_by_label("Model", exact=True).select_option(label="Other …")
        model.get_by_label("Name").fill("two words")
        save(model, "Use this model")
        expect(model.locator(".jp-agent-wrong", has_text="no spaces")).to_be_visible(timeout=WAIT)
        model.get_by_label("Name").fill("chat/small")
        save(model, "Test this model")
        expect(model).to_contain_text("AGENT_KERNEL_UPSTREAM_URL", timeout=WAIT)
        save(model, "Use this model")
        expect(model).to_contain_text("The next cell uses it", timeout=WAIT)
        expect(page.locator(".jp-agent-status")).to_contain_text("small")
        expect(start(page, 0)).to_contain_text("Cells use chat/small", timeout=WAIT)


def test_policy_is_a_table_of_sentences(opened: Opened, pictures: Path) -> None:
    cells = ["%approve ask rm *", "%approve", "!touch kept; ls"]
    with opened("policy.ipynb", cells, height=900) as page:
        show_settings(page)
        policy, container = form(page, "Approvals"), form(page, "Container")
        rows = policy.locator(".jp-agent-rules tr")
        expect(rows).to_contain_text(["All commands run."])
        expect(start(page, 0)).to_contain_text("You are asked before rm …", timeout=WAIT)
        expect(rows).to_contain_text(["You are asked before rm ….", "All other commands run."], timeout=WAIT)
        policy.get_by_label("New rule").select_option("deny")
        policy.get_by_label("Applies to").select_option("host")
        policy.get_by_label("Command or host").fill("not a host")
        save(policy, "Save rule")
        expect(policy.locator(".jp-agent-wrong", has_text="is not a host")).to_be_visible(timeout=WAIT)
        policy.get_by_label("Command or host").fill("*.example.org")
        save(policy, "Save rule")
        refused = "Connections to *.example.org are refused."
        expect(rows.first).to_contain_text(refused, timeout=WAIT)
        policy.get_by_role("button", name="Move down").first.click()
        expect(rows.first).to_contain_text("You are asked before rm …", timeout=WAIT)
        policy.scroll_into_view_if_needed()
        lab.picture(page, pictures / "policy.png")
        policy.get_by_role("button", name="Remove").first.click()
        expect(rows).to_contain_text([refused, "All other commands run."], timeout=WAIT)
        policy.get_by_label("All other commands").select_option("ask")
        expect(rows.last).to_contain_text("You are asked before all other commands.", timeout=WAIT)
        expect(policy.locator(".jp-agent-operator")).to_contain_text("All commands run.")
        expect(policy.locator(".jp-agent-operator button, .jp-agent-operator input")).to_have_count(0)
        expect(start(page, 1)).to_contain_text("You are asked before all other commands.", timeout=WAIT)
        expect(start(page, 2).locator(".jp-InputPrompt")).to_have_text("[3]:", timeout=WAIT)
        container.get_by_label("Processors").fill("2")
        save(container, "New container …")
        page.get_by_role("button", name="Replace").click()
        expect(container).to_contain_text("new and empty", timeout=WAIT)
        network = form(page, "Network")
        network.get_by_label("Connections").select_option("allowlist")
        save(network)
        expect(network.locator(".jp-agent-wrong", has_text="Name a host")).to_be_visible(timeout=WAIT)
        network.get_by_label("Hosts").fill("example.org")
        save(network)
        expect(network).to_contain_text("operator", timeout=WAIT)


def test_variables_follow_each_cell(opened: Opened, pictures: Path) -> None:
    frame = "pd.DataFrame({'city': ['Köln', 'Bonn'], 'sum': [1.5, None]})"
    hostile = "sales.loc[1, 'city'] = '<img src=x onerror=\"window.hostile=1\">'"
    cells = [
        f"%%python\nimport pandas as pd\nsales = {frame}\nrate = 0.19\n{STYLED}",
        f"%%python\nsales['year'] = 2026; {hostile}; evil = '<b>bold</b>\\u202e'",
        "wait for ever",
        "%python restart",
    ]
    with opened("variables.ipynb", cells, height=700) as page:
        lab.command(page, "agent-kernel:show-variables")
        panel = page.locator(".jp-agent-variables-view")
        expect(panel).to_contain_text("There is no Python session yet", timeout=WAIT)
        start(page, 0)
        expect(panel.locator("tbody tr")).to_contain_text(
            [re.compile("rate.*float.*0.19"), "sales"], timeout=WAIT
        )
        panel.get_by_role("button", name="sales").click()
        expect(panel).to_contain_text("sales (DataFrame): 2 rows × 2 columns", timeout=WAIT)
        styled = page.locator(".jp-OutputArea iframe")
        expect(styled).to_have_css("filter", "none")
        lab.picture(page, pictures / "variables.png")
        with dark(page):
            lab.picture(page, pictures / "variables-dark.png")
            expect(styled).to_have_css("filter", re.compile("invert"))
            assert violations(page, ".jp-agent-variables-view") == []
        start(page, 1)
        expect(panel).to_contain_text("2 rows × 3 columns", timeout=WAIT)
        expect(panel).to_contain_text("<b>bold</b>")
        expect(panel).to_contain_text("<img src=x")
        expect(panel.locator("b, img")).to_have_count(0)
        assert "\u202e" not in panel.inner_text()
        assert page.evaluate("() => window.hostile") is None
        start(page, 2)
        expect(panel).to_contain_text("The variables follow when it ends", timeout=WAIT)
        expect(panel).to_contain_text("sales")
        page.locator(".jp-agent-status").get_by_role("button", name="Stop").click()
        expect(panel).not_to_contain_text("follow when it ends", timeout=WAIT)
        start(page, 3)
        expect(panel).to_contain_text("There is no Python session yet", timeout=WAIT)


def test_toolbar_is_short_in_a_narrow_window(opened: Opened, pictures: Path) -> None:
    with opened("narrow.ipynb", ["%model", "wait for ever"], width=700, height=500) as page:
        status = page.locator(".jp-agent-status")
        page.evaluate("() => window.jupyterapp.shell.collapseRight()")
        start(page, 1)
        expect(status.locator(".jp-agent-status-doing")).to_have_text(re.compile(r"2/2, \d+ s"), timeout=WAIT)
        lab.picture(page, pictures / "narrow.png")
        page.set_viewport_size({"width": 1300, "height": 500})
        expect(status.locator(".jp-agent-status-doing")).to_have_text(
            re.compile(r"Cell 2 of 2, \d+ s"), timeout=WAIT
        )
        status.get_by_role("button", name="Stop").click()
        expect(status).to_contain_text("Idle", timeout=WAIT)
