"""The view's own page code in Chromium: what a person is asked, answers and says to the running turn."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.kernel.live.test_live_page import item, tell

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


QUESTION: dict[str, Any] = {
    "id": "q1",
    "commands": ["rm -rf *.csv"],
    "reason": "It deletes files.",
    "kind": "any `rm …` or ``a`b …`` command",
    "editable": True,
    "about": "call",
}


def ask(page: Page, question: dict[str, Any] | None = QUESTION) -> None:
    page.evaluate("(question) => window.sync({question})", question)


def answer(page: Page, why: str | None) -> dict[str, Any]:
    """Answer the last message that was sent, and return it."""
    message: dict[str, Any] = page.evaluate("window.sent.at(-1)")
    page.evaluate("(answer) => window.hear(answer)", {"answered": message["id"], "why": why})
    return message


def test_a_question_is_asked_and_answered(view: Page) -> None:
    ask(view)
    box = view.get_by_role("group", name="Approval")
    expect(box).to_contain_text("It deletes files.")
    expect(box).to_contain_text("allows any rm … or a`b … command, until the kernel stops.")
    expect(view.get_by_label("Send a message to the running turn")).to_be_hidden()
    box.get_by_role("button", name="Allow once").click()
    expect(box.get_by_role("button", name="Allow once")).to_be_disabled()
    message = answer(view, None)
    assert {**message, "id": ""} == {"type": "decide", "question": "q1", "approve": True, "id": ""}
    ask(view, None)
    expect(box).to_have_count(0)


def test_command_that_is_asked_about_is_shown_once(view: Page) -> None:
    shown = view.locator(".agent-live-command:visible, .agent-card-command:visible")
    command = QUESTION["commands"][0]
    deltas = [[0, "command.0", 2, "ls"], [1, "command.0", len(command), command]]
    calls = [item(number, "shell_call", call=f"c{number}", done=True) for number in (0, 1)]
    tell(view, *calls, deltas=deltas)
    expect(shown).to_have_text(["$ ls", f"$ {command}"])
    ask(view)
    expect(shown).to_have_text(["$ ls", f"$ {command}"])
    expect(view.get_by_role("group", name="Approval").locator(shown)).to_have_text([f"$ {command}"])
    ask(view, None)
    expect(view.locator(".agent-live-items .agent-live-command:visible")).to_have_count(2)


def test_message_says_when_the_model_reads_it(view: Page) -> None:
    said = {**item(0, "said"), "done": False}
    tell(view, said, deltas=[[0, "text", 6, "faster"]])
    expect(view.locator(".agent-live-said")).to_contain_text("The model reads this after the current step.")
    tell(view, {**said, "done": True})
    expect(view.get_by_text("after the current step")).to_be_hidden()
    expect(view.locator(".agent-live-said")).to_contain_text("You: faster")


def test_a_connection_is_asked_about(view: Page) -> None:
    question = {
        "id": "q2",
        "commands": ["a_b.example:443"],
        "reason": "pip connects to it while this runs: pip install x.",
        "kind": "",
        "editable": False,
        "about": "network",
    }
    ask(view, question)
    box = view.get_by_role("group", name="Approval")
    expect(box).to_contain_text("Allow this connection?")
    expect(box).to_contain_text("pip connects to it while this runs: pip install x.")
    expect(box).to_contain_text("allows connections to a_b.example:443, for this notebook’s container.")
    expect(box.get_by_role("button", name="Edit …")).to_have_count(0)
    box.get_by_role("button", name="Allow in this notebook").click()
    assert answer(view, None)["remember"] is True


FORM: dict[str, Any] = {
    "id": "q3",
    "commands": ["seats: ", "window: false", "meal <b>x</b>: v"],
    "reason": "The MCP server db asks: How many **seats**?\n`meal`: string, optional, one of v (Vegan)",
    "kind": "",
    "editable": True,
    "about": "elicitation",
}


def test_a_servers_question_is_a_form(view: Page) -> None:
    ask(view, FORM)
    box = view.get_by_role("group", name="Approval: An MCP server asks you")
    expect(box).to_contain_text("The MCP server db asks: How many")
    expect(box.get_by_role("textbox")).to_have_count(3)
    expect(box.get_by_role("button")).to_have_text(["Answer", "Do not answer"])
    expect(box.get_by_label("meal <b>x</b>")).to_have_value("v")
    expect(box.get_by_label("window")).to_have_value("false")
    box.get_by_label("seats").fill("many")
    if folder := os.environ.get("AGENT_KERNEL_PICTURES"):
        view.screenshot(path=Path(folder) / "elicitation.png")
    box.get_by_role("button", name="Answer", exact=True).click()
    message = answer(view, "seats must be an integer.")
    assert message["approve"] is True
    assert message["commands"] == ["seats: many", "window: false", "meal <b>x</b>: v"]
    expect(box.get_by_role("alert")).to_have_text("seats must be an integer.")
    box.get_by_label("seats").fill("2: two")  # a refused answer leaves what was typed
    box.get_by_role("button", name="Answer", exact=True).press("Enter")
    assert answer(view, None)["commands"][0] == "seats: 2: two"
    box.get_by_role("button", name="Do not answer").click()
    declined = answer(view, None)
    assert (declined["approve"], declined.get("commands")) == (False, None)


def test_a_server_asks_for_consent_to_a_page(view: Page) -> None:
    page = "https://page.example/?a=<script>"
    ask(view, {**FORM, "id": "q4", "commands": [page], "editable": False})
    box = view.get_by_role("group", name="Approval: An MCP server asks you")
    expect(box.locator(".agent-card-command")).to_have_text(page)
    expect(box.get_by_role("link")).to_have_count(0)
    expect(box.get_by_role("textbox")).to_have_count(0)
    box.get_by_role("button", name="I agree").click()
    agreed = answer(view, None)
    assert (agreed["approve"], agreed["question"], agreed.get("commands")) == (True, "q4", None)


def test_a_click_that_did_not_commit_says_why(view: Page) -> None:
    ask(view)
    box = view.get_by_role("group", name="Approval")
    box.get_by_role("button", name="Allow this kind").click()
    assert answer(view, "It was answered in another tab.")["remember"] is True
    expect(box.get_by_role("alert")).to_have_text("It was answered in another tab.")
    expect(box.get_by_role("button", name="Allow once")).to_be_enabled()
    view.evaluate("() => { window.sent.push = () => { throw new Error('cut off'); }; }")
    box.get_by_role("button", name="Allow once").click()
    expect(box.get_by_role("alert")).to_contain_text("could not be sent")


def test_a_click_that_nobody_answers_says_so(view: Page) -> None:
    ask(view)
    box = view.get_by_role("group", name="Approval")
    box.get_by_role("button", name="Allow once").click()
    expect(box.get_by_role("alert")).to_contain_text("has not answered", timeout=30_000)
    expect(box.get_by_role("button", name="Allow once")).to_be_enabled()


def test_a_command_is_edited_and_a_denial_has_its_reason_by_the_keys(view: Page) -> None:
    ask(view)
    box = view.get_by_role("group", name="Approval")
    box.get_by_role("button", name="Edit").press("Enter")
    expect(box.get_by_label("Command 1")).to_be_focused()
    view.keyboard.press("ControlOrMeta+A")
    view.keyboard.type("rm one.csv")
    ask(view)  # a state that says the same changes nothing under the person's hands
    box.get_by_role("button", name="Run edited version").press("Space")
    assert answer(view, None)["commands"] == ["rm one.csv"]
    box.get_by_role("button", name="Deny …").press("Enter")
    expect(box.get_by_label("Reason")).to_be_focused()
    view.keyboard.type("They are needed.")
    view.keyboard.press("Enter")
    expect(box.get_by_role("alert")).to_have_text("Sending …")
    assert {**answer(view, None), "id": ""} == {
        "type": "decide",
        "question": "q1",
        "approve": False,
        "reason": "They are needed.",
        "id": "",
    }


def test_what_was_said_and_not_taken_stays_in_its_line(view: Page) -> None:
    line = view.get_by_label("Send a message to the running turn")
    line.fill("faster")
    line.press("Enter")
    expect(view.locator(".agent-live-controls").get_by_role("alert")).to_have_text("Sending …")
    assert answer(view, "This runtime cannot be steered.")["text"] == "faster"
    expect(view.locator(".agent-live-controls").get_by_role("alert")).to_have_text(
        "This runtime cannot be steered."
    )
    expect(line).to_have_value("faster")
    line.press("Enter")
    expect(view.locator(".agent-live-controls").get_by_role("alert")).to_have_text("Sending …")
    answer(view, None)
    expect(line).to_have_value("")
