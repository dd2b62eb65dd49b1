"""One script of thirty actions, verified by what the pages report."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.tools.computer.conftest import Desk

TEXT = "Hällo Wörld, Привет 日本語 😀"
Json = dict[str, Any]


def key(*keys: str) -> Json:
    return {"type": "keypress", "keys": list(keys)}


def text(typed: str) -> Json:
    return {"type": "type", "text": typed}


WAIT: Json = {"type": "wait"}


async def thirty_steps(desk: Desk) -> int:
    """Do them on a desktop whose page is open; return how many actions that were."""
    count = 0

    def click(x: int, y: int) -> Json:
        return {"type": "click", "button": "left", **desk.at(x, y)}

    async def act(*actions: Json) -> None:
        nonlocal count
        count += len(actions)
        done = await desk.act(*actions)
        assert (done.status, len(done.shots)) == ("ok", len(actions)), done.said

    await desk.sandbox("printf 'My data' > /mnt/data/up.txt; rm -f /mnt/data/report.txt")
    await act(key("CTRL", "L"), text("http://127.0.0.1:8000/steps\n"), WAIT)
    await desk.told("steps")
    await act(click(100, 50), text(TEXT), key("ctrl+a"), key("CTRL", "C"), click(100, 140), key("ctrl", "v"))
    await desk.told("copy", lambda each: each["value"] == TEXT)
    await act({"type": "drag", "path": [desk.at(20, 340), desk.at(220, 500)]})
    assert (await desk.told("drag"))["path"] == [[20, 20], [220, 180]]
    await act({"type": "scroll", **desk.at(800, 100), "scroll_x": 0, "scroll_y": 1920}, click(700, 120))
    await desk.told("deep", lambda each: 1900 <= each["top"] <= 1940)
    await act(click(50, 200), WAIT, text("/mnt/data/up.txt"), key("ALT", "O"))
    told = await desk.told("upload")
    assert (told["name"], told["text"]) == ("up.txt", "My data")
    await act(click(300, 215), WAIT)
    await downloaded(desk)
    await act(click(50, 280), key("ENTER"))
    await desk.told("dialog", lambda each: each["what"] == "alert")
    await act(click(160, 280), key("ESC"))
    assert (await desk.told("dialog", lambda each: each["what"] == "confirm"))["answer"] is False
    await act(click(270, 280), text("Ünï"), key("ENTER"))
    assert (await desk.told("dialog", lambda each: each["what"] == "prompt"))["answer"] == "Ünï"
    await act(click(380, 280), WAIT)
    await desk.told("opened")
    await act(text("zwei"))
    await desk.told("second", lambda each: each["value"] == "zwei")
    await act(key("ALT", "F4"))
    await desk.told("closed")
    await act(click(100, 50), key("ctrl", "plus"))
    await desk.told("zoom", lambda each: each["ratio"] > 1)
    await act(key("ctrl+0"))
    await desk.told("zoom", lambda each: each["ratio"] == 1)
    return count


async def downloaded(desk: Desk) -> None:
    for _ in range(300):
        done = await desk.sandbox("cat /mnt/data/report.txt 2>/dev/null || true")
        if done.stdout == b"Quarterly report\n":
            return
        await asyncio.sleep(0.1)  # the browser writes the file, and tells nobody
    raise AssertionError("the file was not downloaded")
