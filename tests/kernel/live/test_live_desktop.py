"""The desktop in the view, driven without a kernel: what it shows, and what it sends of the user's doing."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from agent_kernel.protocol.desktop.watching import read_events

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

IDLE = {"open": True, "running": True, "taken": "", "caption": "", "at": None, "why": ""}
PICTURE = """async () => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 200, height: 100});
  const blob = await new Promise((resolve) => canvas.toBlob(resolve));
  const piece = {frame: 7, last: true, top: 0, width: 200, height: 100};
  window.handlers["msg:custom"]({piece}, [new DataView(await blob.arrayBuffer())]);
}"""


def show(page: Page, **state: Any) -> Locator:
    page.evaluate("(screen) => window.hear({screen})", {**IDLE, **state})
    return page.locator(".agent-live-desktop")


def shown(page: Page, **state: Any) -> Locator:
    """The canvas of a view with a picture of 200 x 100 pixels."""
    show(page, **state)
    page.evaluate(PICTURE)
    canvas = page.locator("canvas")
    expect(canvas).to_be_visible()
    return canvas


def sent(page: Page, kind: str) -> list[dict[str, Any]]:
    """What the page has sent of a kind, once the frame is over that gathers it."""
    page.evaluate("() => new Promise(requestAnimationFrame)")
    found: list[dict[str, Any]] = page.evaluate(
        "(kind) => window.sent.filter((each) => each.type === kind)", kind
    )
    return found


def events(page: Page) -> list[dict[str, Any]]:
    return [each for message in sent(page, "hands") for each in message["events"]]


def test_a_frame_is_acknowledged_and_asked_for(view: Page) -> None:
    shown(view)
    assert sent(view, "look")
    assert [each["frame"] for each in sent(view, "seen")] == [7]


def test_a_frame_that_is_no_picture_is_acknowledged_too(view: Page) -> None:
    show(view)
    view.evaluate(
        """() => window.handlers["msg:custom"](
          {piece: {frame: 3, last: true, top: 0, width: 9, height: 9}}, [new DataView(new ArrayBuffer(4))])"""
    )
    view.wait_for_function("() => window.sent.some((each) => each.type === 'seen' && each.frame === 3)")
    shown(view)


def test_actions_are_named_and_marked(view: Page) -> None:
    canvas = shown(view, caption="click left 50 25", at=[50, 25])
    mark = view.locator(".agent-live-desktop-mark")
    expect(mark).to_be_visible()
    expect(view.get_by_role("status").last).to_have_text("click left 50 25")
    outer, inner = canvas.bounding_box(), mark.bounding_box()
    assert outer is not None
    assert inner is not None
    assert abs(inner["x"] + inner["width"] / 2 - outer["x"] - outer["width"] / 4) < 2


def test_nothing_is_sent_before_the_user_has_taken_over(view: Page) -> None:
    canvas = shown(view)
    canvas.click()
    view.keyboard.press("a")
    assert events(view) == []
    view.get_by_role("button", name="Take over").click()
    assert [each["type"] for each in sent(view, "take")] == ["take"]


def test_mouse_and_keys_are_sent_in_the_screen_s_own_pixels(view: Page) -> None:
    canvas = shown(view, taken="you")
    box = canvas.bounding_box()
    assert box is not None
    canvas.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    pressed, released = [each for each in events(view) if "button" in each]
    assert (pressed["type"], released["type"], pressed["button"]) == ("press", "release", 1)
    assert (abs(pressed["x"] - 100) <= 1, abs(pressed["y"] - 50) <= 1) == (True, True)
    canvas.click(button="right", position={"x": 1, "y": 1})
    view.mouse.wheel(0, 240)
    view.keyboard.type("aB")
    view.keyboard.insert_text("日本")
    view.keyboard.press("Control+c")
    view.keyboard.press("Shift+ArrowLeft")
    found = events(view)
    read_events(found)  # the kernel takes them
    assert [each["button"] for each in found if each["type"] == "press"] == [1, 3]
    assert [each["down"] for each in found if each["type"] == "wheel"] == [240]
    assert "".join(each["text"] for each in found if each["type"] == "text") == "aB日本"
    keys = [(each["type"], each["key"]) for each in found if "key" in each]
    assert [each for each in keys if each[1] in ("Control", "c")] == [
        ("down", "Control"),
        ("down", "c"),
        ("up", "c"),
        ("up", "Control"),
    ]
    assert ("down", "ArrowLeft") in keys


def test_nothing_of_the_clipboard_is_sent_or_changed(view: Page) -> None:
    view.evaluate(
        """() => {
          const own = Object.assign(document.createElement("textarea"), {id: "own", value: "secret"});
          document.body.append(own);
          own.focus();
          own.select();
        }"""
    )
    view.keyboard.press("Control+c")
    canvas = shown(view, taken="you")
    canvas.click()
    view.keyboard.press("Control+v")
    assert ("down", "v") in [(each["type"], each.get("key")) for each in events(view)]
    assert [each for each in events(view) if each["type"] == "text"] == []
    view.locator("#own").focus()
    view.evaluate("() => { document.getElementById('own').value = ''; }")
    view.keyboard.press("Control+v")
    assert view.locator("#own").input_value() == "secret"


def test_keys_are_released_when_the_view_loses_the_focus(view: Page) -> None:
    shown(view, taken="you").click()
    view.keyboard.down("Shift")
    view.locator(".agent-live-input").focus()
    keys = [(each["type"], each["key"]) for each in events(view) if "key" in each]
    assert keys == [("down", "Shift"), ("up", "Shift")]
    view.keyboard.up("Shift")


@pytest.mark.parametrize(
    ("state", "words", "label"),
    [
        ({"taken": "waiting"}, "when the agent's action is done", "Hand back"),
        ({"taken": "other"}, "Taken over in another place", "Take over"),
        ({"running": False}, "does not run yet", "Take over"),
        ({"open": False, "why": "<b>No</b> desktop"}, "<b>No</b> desktop", None),
    ],
)
def test_who_has_it_is_said(view: Page, state: dict[str, Any], words: str, label: str | None) -> None:
    desktop = show(view, **state)
    expect(desktop).to_contain_text(words)
    expect(desktop.get_by_role("button")).to_have_count(0 if label is None else 1)
    if label is not None:
        expect(desktop.get_by_role("button")).to_have_text(label)
