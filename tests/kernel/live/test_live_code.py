"""Calls of code in the live view: the page's own code in Chromium, and the progress that the kernel keeps."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import ResponseOutputItemDoneEvent
from playwright.sync_api import Page, expect

from agent_kernel.kernel.live.pictures import shown_pictures
from agent_kernel.kernel.live.progress import Progress
from agent_kernel.protocol.sse import own_event
from tests.kernel.live.test_live_page import item, lines, tell
from tests.kernel.render.test_code import PNG, URL, call, display, stream

CODE = "code_interpreter_call"


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_code_is_seen_in_colours_with_its_output(view: Page) -> None:
    code = "import time\nprint('<b>')"
    deltas = [[0, "code", len(code), code], [0, "begun", 1, "1"], [0, "printed", 4, "<b>\n"]]
    tell(view, item(0, CODE), deltas=deltas)
    pre = view.locator("pre.agent-live-command")
    expect(pre).to_have_text(code)
    expect(pre.locator(".agent-shell-keyword")).to_have_text(["import"])
    expect(pre.locator(".agent-shell-string")).to_have_text(["'<b>'"])
    assert lines(view) == ["<b>", ""]
    expect(view.locator(".agent-live-outcome")).to_contain_text("running · ")
    tell(view, item(0, CODE, done=True), deltas=[[0, "seconds", 3, "0.4"]])
    expect(view.locator(".agent-live-outcome")).to_have_text("0.4 s")
    expect(view.locator("img")).to_have_count(0)
    for _ in range(2):
        view.evaluate("(urls) => window.hear({pictures: [0, urls]})", [URL])
        expect(view.locator("img")).to_have_attribute("src", URL)


CODES = ["'''a\nb", "f'{x!r}' # c\n'", "'\\", "é = 1_000j", '"' * 5, "\U0001f600 @x.y"]


@pytest.mark.browser
@pytest.mark.parametrize("code", CODES)
def test_all_of_the_code_is_there(view: Page, code: str) -> None:
    assert view.evaluate("(code) => pythonTokens(code).map(([, text]) => text).join('')", code) == code


def events(*outputs: dict[str, Any]) -> list[Any]:
    added = {"type": CODE, "id": "ci_1", "code": "", "outputs": [], "status": "in_progress"}
    place: dict[str, Any] = {"output_index": 0, "item_id": "ci_1", "sequence_number": 0}
    done = {**call(*outputs, code="x = 1"), "status": "completed"}
    return [
        own_event({"type": "response.output_item.added", **place, "item": added}),
        own_event({"type": "response.code_interpreter_call_code.delta", **place, "delta": "x ="}),
        own_event({"type": "response.code_interpreter_call.interpreting", **place}),
        own_event({"type": "agent_kernel.code_interpreter_call.printed", **place, "delta": "a\n"}),
        ResponseOutputItemDoneEvent.construct(type="response.output_item.done", **place, item=done),
    ]


def test_progress_of_code_grows_to_the_whole() -> None:
    progress = Progress()
    *given, done = events(stream("a\n"), display(text__plain="b", text__html="<p>"))
    for event in given:
        progress.take(event)
    (growing,) = progress.items.values()
    logs = [{"type": "logs", "logs": "a\n"}]
    assert growing.item() == {"type": CODE, "status": "incomplete", "code": "x =", "outputs": logs}
    progress.take(done)
    parts = {name: str(text) for name, text in growing.parts.items() if name != "seconds"}
    assert parts == {"code": "x = 1", "begun": "1", "printed": "a\nb\n"}


def test_pictures_of_a_call_are_shown_if_they_are_small() -> None:
    shown = [display(image__png=PNG)] * 9
    assert shown_pictures(events(stream("a"), *shown)[-1]) == [URL] * 6
    assert shown_pictures(events(display(image__png="@"))[-1]) == []
    assert shown_pictures(events()[0]) == []
