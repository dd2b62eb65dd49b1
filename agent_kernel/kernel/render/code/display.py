"""One thing that code displayed, as an output of its own. Pure.

The first form that can be shown safely counts: a picture, a formula, HTML, Markdown, text. The JSON of charts
(Vega, Plotly) is never given to a front end, which would run it: the chart is shown as its picture.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

from agent_kernel.kernel.render.bundles import OUTPUT, Bundle, ShownItem, box
from agent_kernel.kernel.render.code import markup
from agent_kernel.kernel.render.code.outputs import PICTURES, PLAIN, Output, outputs_of
from agent_kernel.kernel.render.files.pictures import digest, is_kind, picture
from agent_kernel.kernel.render.markdown import to_html, to_safe_markdown
from agent_kernel.kernel.render.shell import stream
from agent_kernel.kernel.render.stored import Item
from agent_kernel.kernel.render.text import clean, clip, fence, size

NAME = "picture"
MAX_PICTURE = 8 << 20
"""Bytes of a picture. A larger one is not shown."""

_SVG = "image/svg+xml"
_WIDEST = 4000


def displayed(output: Output, limit: int) -> Bundle:
    """Return the bundle of a display, each text cut to `limit` characters."""
    data = output.get("data")
    data = data if isinstance(data, Mapping) else {}
    for kind, show in _FORMS.items():
        if isinstance(value := data.get(kind), str) and (bundle := show(data, value, limit)) is not None:
            return _sized(bundle, output.get("metadata"))
    return _text(data, limit, "")


def pictures_seen(item: Item) -> set[bytes | str]:
    """Return the pictures that a call displayed, with the files that it says show the same; see `Seen`."""
    seen: set[bytes | str] = set()
    for output in outputs_of(item):
        if data := picture_bytes(output):
            seen |= {digest(data), *_saved(output)}
    return seen


def _saved(output: Output) -> list[str]:
    metadata = output.get("metadata")
    ours = metadata.get("agent_kernel") if isinstance(metadata, Mapping) else None
    saved = ours.get("saved") if isinstance(ours, Mapping) else None
    return [each for each in saved if isinstance(each, str)] if isinstance(saved, list) else []


def picture_bytes(output: Output) -> bytes | None:
    """Return the bytes of a picture that is displayed; None for any other output."""
    data = output.get("data")
    if not isinstance(data, Mapping):
        return None
    for kind in (*PICTURES, _SVG):
        if isinstance(value := data.get(kind), str):
            return value.encode("utf-8", "replace") if kind == _SVG else _decoded(value, kind)
    return None


def _decoded(value: str, kind: str) -> bytes | None:
    try:
        found = base64.b64decode(value, validate=True) if len(value) <= MAX_PICTURE * 4 / 3 else b""
    except (binascii.Error, ValueError):
        return None
    return found if is_kind(found, kind) else None


def _picture(kind: str) -> Callable[[Mapping[str, Any], str, int], Bundle | None]:
    def show(data: Mapping[str, Any], value: str, limit: int) -> Bundle | None:
        found = value.encode("utf-8", "replace") if kind == _SVG else _decoded(value, kind)
        return picture(NAME, found, kind) if found and len(found) <= MAX_PICTURE else None

    return show


def _sized(bundle: Bundle, metadata: Any) -> Bundle:
    """Keep the width and height that a picture asks for."""
    for kind in PICTURES:
        asked = metadata.get(kind) if isinstance(metadata, Mapping) and kind in bundle.data else None
        for name in ("width", "height"):
            value = asked.get(name) if isinstance(asked, Mapping) else None
            if type(value) is int and 0 < value <= _WIDEST:
                bundle.metadata[kind][name] = value
    return bundle


def _html(data: Mapping[str, Any], value: str, limit: int) -> Bundle | None:
    if len(value) > markup.MAX_CHARACTERS:
        return _text(data, limit, f"[HTML of {size(len(value))} is not shown]")
    text = _plain(data, limit) or "[HTML]"
    return ShownItem(markup.shown_html(value), fence(text, "text"), text).bundle()


def _markdown(data: Mapping[str, Any], value: str, limit: int) -> Bundle | None:
    text = clip(value, limit)
    return ShownItem(to_html(text), to_safe_markdown(text), clean(text)).bundle() if text.strip() else None


def _latex(data: Mapping[str, Any], value: str, limit: int) -> Bundle | None:
    text = value.strip()
    return _markdown(data, f"$$\n{text}\n$$" if text.startswith("\\begin") else text, limit)


def _text(data: Mapping[str, Any], limit: int, note: str) -> Bundle:
    text = "\n".join(filter(None, (_plain(data, limit), note))) or "[a display without a form that is shown]"
    shown = stream("stdout", text, limit)
    return ShownItem(box(OUTPUT, shown.html), shown.markdown, shown.plain).bundle()


def _plain(data: Mapping[str, Any], limit: int) -> str:
    text = data.get(PLAIN)
    return clean(clip(text, limit)) if isinstance(text, str) else ""


_FORMS: dict[str, Callable[[Mapping[str, Any], str, int], Bundle | None]] = {
    **{kind: _picture(kind) for kind in (*PICTURES, _SVG)},
    "text/latex": _latex,
    "text/html": _html,
    "text/markdown": _markdown,
}
