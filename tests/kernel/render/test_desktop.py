"""Items of the tool `computer` in a notebook: captions, small screenshots, and marked places."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import pytest

from agent_kernel.kernel.render.desktop import screen
from agent_kernel.kernel.render.desktop.call import asked_about
from agent_kernel.kernel.render.items import render_all
from agent_kernel.kernel.render.stored import ITEM_MIME
from agent_kernel.tools.computer.inside.picture import png

WIDTH, HEIGHT = 1280, 800
BLUE = bytes((200, 100, 0, 0))
"""Blue, green, red and an unused byte."""


def url(width: int = WIDTH, height: int = HEIGHT) -> str:
    data = png(width, height, BLUE * (width * height))
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def output(**fields: Any) -> dict[str, Any]:
    picture = {"type": "computer_screenshot", "image_url": url(), **fields}
    return {"type": "computer_call_output", "id": "cuo_1", "call_id": "c", "output": picture}


def shape(data: bytes) -> tuple[int, ...]:
    return struct.unpack_from(">II", data, 16)


def test_call_is_a_caption() -> None:
    actions = [
        {"type": "click", "button": "left", "x": 3, "y": 4, "keys": ["ctrl"]},
        {"type": "type", "text": "<b>\x1b[31m\n`x`</b>"},
        {"type": "screenshot"},
    ]
    call = {"type": "computer_call", "id": "cu_1", "call_id": "c", "actions": actions}
    (bundle,) = render_all(call)
    plain = 'Computer: click left 3 4 with ctrl; type "<b>\\u001b[31m\\n`x`</b>"; screenshot'
    assert bundle.data["text/plain"] == plain
    assert "&lt;b&gt;" in bundle.data["text/html"]
    assert "<b>`x`" not in bundle.data["text/html"]


def test_screen_is_a_small_picture_and_kept_once() -> None:
    said, seen = render_all(output(agent_kernel={"said": ["The browser had crashed."]}))
    assert said.data["text/plain"] == "The browser had crashed."
    assert "image_url" not in said.data[ITEM_MIME]["output"]
    assert seen.data["text/plain"] == "[The screen after this.]"
    picture = base64.b64decode(seen.data["image/png"])
    assert shape(picture) == (426, 266)
    again = screen.read(screen.PREFIX + seen.data["image/png"])
    assert again is not None
    assert again.rows[0][:3] == bytes((0, 100, 200))


def test_place_of_a_click_is_framed() -> None:
    bundle = asked_about(output(), {"actions": [{"type": "click", "x": 640, "y": 400}]})
    assert bundle is not None
    framed = screen.read(screen.PREFIX + bundle.data["image/png"])
    assert framed is not None
    red = [(x, y) for y, row in enumerate(framed.rows) for x in range(framed.width) if row[3 * x] == 0xDB]
    assert (min(red), max(red)) == ((199, 119), (226, 146))
    assert asked_about(output(), {"actions": [{"type": "wait"}]}) is None
    assert asked_about({}, {"actions": [{"type": "click", "x": 1, "y": 1}]}) is None


def bomb() -> bytes:
    """Return a PNG file of 4000 x 4000 pixels that unpacks to more."""
    head = struct.pack(">IIBBBBB", 4000, 4000, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(60 << 20), 9)
    chunks = [(b"IHDR", head), (b"IDAT", packed)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + bytes(4) for kind, data in chunks
    )


@pytest.mark.parametrize(
    "given",
    [None, 3, "data:image/png;base64,%%%", "https://a.example/x.png", url()[:-400], bomb()],
    ids=["none", "number", "no base64", "address", "cut off", "bomb"],
)
def test_hostile_picture_is_not_shown(given: Any) -> None:
    if isinstance(given, bytes):
        given = screen.PREFIX + base64.b64encode(given).decode()
    assert [each for each in render_all(output(image_url=given)) if "image/png" in each.data] == []
