"""The pictures of a finished call, for the live view: those of code, or the screen. Pure."""

from __future__ import annotations

import base64
from typing import Any

from agent_kernel.kernel.render.code.display import picture_bytes
from agent_kernel.kernel.render.code.outputs import outputs_of
from agent_kernel.kernel.render.desktop.screen import small_url
from agent_kernel.kernel.render.files.pictures import is_kind
from agent_kernel.protocol.desktop.items import OUTPUT, picture_of

MOST = 6
"""Pictures of one call that the view shows; the cell's outputs have all."""

MOST_BYTES = 1 << 20
"""Bytes of one picture."""

_KINDS = ("image/png", "image/jpeg")


def shown_pictures(event: Any) -> list[str]:
    """Return data URLs of the pictures of a call that an event finishes; none for other events."""
    if event.type != "response.output_item.done":
        return []
    if event.item.type == OUTPUT:
        url = small_url(picture_of(event.item.to_dict(mode="json", warnings=False)))
        return [] if url is None else [url]
    if event.item.type != "code_interpreter_call":
        return []
    found = map(picture_bytes, outputs_of(event.item.to_dict(mode="json", warnings=False)))
    small = [data for data in found if data is not None and len(data) <= MOST_BYTES]
    pairs = [(data, next((kind for kind in _KINDS if is_kind(data, kind)), None)) for data in small]
    urls = [f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}" for data, kind in pairs if kind]
    return urls[:MOST]
