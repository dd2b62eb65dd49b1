"""Render the calls of the tool `computer` as captions, and the screen after each as a small picture. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from agent_kernel.kernel.render.bundles import CALL, QUIET, Bundle, ShownItem, box
from agent_kernel.kernel.render.desktop import screen
from agent_kernel.kernel.render.stored import Item
from agent_kernel.kernel.render.text import clean, clip, code, escape
from agent_kernel.protocol.desktop.items import OUTPUT, actions_of, picture_of, said_in, shown

HEAD = "Computer"
MOST = 30
"""Actions of one call that the caption has."""


def computer_call(item: Item, limit: int) -> ShownItem | None:
    """Render a call: its actions, one after the other."""
    lines = captions(item)
    if not lines:
        return None
    html = f"<b>{HEAD}</b>: {'; '.join(map(escape, lines))}"
    return ShownItem(
        box(CALL, html), f"**{HEAD}**: {'; '.join(map(code, lines))}", f"{HEAD}: {'; '.join(lines)}"
    )


def captions(item: Item) -> list[str]:
    """Return the actions of a call as clean lines."""
    actions = actions_of(item)
    more = [f"and {len(actions) - MOST} more"] if len(actions) > MOST else []
    return [*(" ".join(clean(shown(each)).split()) for each in actions[:MOST]), *more]


def computer_output(item: Item, limit: int) -> ShownItem | None:
    """Render what was said about a call; None if nothing was. `screen_after` has the picture."""
    said = clean(clip("\n".join(said_in(item)), limit)).strip()
    if not said:
        return None
    quiet = f'<span style="opacity: 0.8; font-size: 13px">{escape(said)}</span>'
    return ShownItem(box(QUIET, quiet), code(" ".join(said.split())), said)


def screen_after(item: Item) -> Bundle | None:
    """Return the screen after a call as a small picture; None if the item has none."""
    if item.get("type") != OUTPUT:
        return None
    data = screen.small(picture_of(item))
    return None if data is None else bundle_of(data, "The screen after this.")


def bundle_of(data: bytes, caption: str) -> Bundle:
    """Return the output for a PNG file."""
    encoded = base64.b64encode(data).decode("ascii")
    return Bundle({"image/png": encoded, "text/plain": f"[{caption}]"}, {"image/png": {"alt": caption}})


def asked_about(item: Item, call: Mapping[str, Any]) -> Bundle | None:
    """Return the screen of an output item with the place marked that the first click of a call is about."""
    place = next((each for each in actions_of(call) if type(each.get("x")) is int), None)
    picture = screen.read(picture_of(item))
    if place is None or picture is None or type(place.get("y")) is not int:
        return None
    small = screen.shrunk(picture)
    by = picture.width / small.width
    x, y = round(place["x"] / by), round(place["y"] / by)
    if not (0 <= x < small.width and 0 <= y < small.height):
        return None
    data = screen.png(screen.marked(small, x - 14, y - 14, x + 14, y + 14))
    return bundle_of(data, "The screen. The frame is where it would act.")


def stored(item: Item) -> Item:
    """Return an item as the notebook keeps it: an output without its picture, which is an output itself."""
    output = item.get("output")
    if item.get("type") != OUTPUT or not isinstance(output, Mapping):
        return item
    return {**item, "output": {name: value for name, value in output.items() if name != "image_url"}}
