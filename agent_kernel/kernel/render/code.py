"""Render calls of `code_interpreter`: the code, what it printed, and its pictures. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from agent_kernel.kernel.render.bundles import CALL, OUTPUT, SUMMARY, ShownItem, box, details, pre
from agent_kernel.kernel.render.files.pictures import is_kind
from agent_kernel.kernel.render.text import Folded, clean, clip, fence, fold

_IMAGE = "max-width: 100%; background-color: white"
_LONGEST_PICTURE = 8 << 20
"""Characters of a data URL. A longer one is not shown."""


def code_call(item: Mapping[str, Any], limit: int) -> ShownItem | None:
    """Render a call with its outputs, each text cut to `limit` characters; None if it has neither."""
    code = clip(str(item.get("code") or ""), limit).rstrip("\n")
    if not code:
        return None
    outputs = item.get("outputs")
    shown = [part for each in outputs for part in _output(each, limit)] if isinstance(outputs, list) else []
    if not shown and item.get("status") in ("incomplete", "failed"):
        words = "not finished" if item["status"] == "incomplete" else "failed"
        shown = [ShownItem(f'<span style="{SUMMARY}">{words}</span>', f"*{words}*", f"[{words}]")]
    folded = fold(clean(code), head=20, tail=5)
    html = box(CALL, _folded_html(folded))
    if shown:
        html += box(OUTPUT, "".join(part.html for part in shown))
    return ShownItem(
        html=html,
        markdown="\n\n".join([fence(clean(code), "python"), *(part.markdown for part in shown)]),
        plain="\n".join([_prompted(clean(code)), *(part.plain.rstrip("\n") for part in shown)]),
    )


def code_texts(item: Mapping[str, Any], limit: int) -> Iterator[str]:
    """Yield the texts that `code_call` shows below the code."""
    outputs = item.get("outputs")
    for part in outputs if isinstance(outputs, list) else []:
        if isinstance(part, Mapping) and part.get("type") == "logs":
            yield clean(clip(str(part.get("logs") or ""), limit))


def _prompted(code: str) -> str:
    return ">>> " + code.replace("\n", "\n... ")


def _output(part: Any, limit: int) -> Iterator[ShownItem]:
    if not isinstance(part, Mapping):
        return
    if part.get("type") == "logs" and (text := str(part.get("logs") or "")).strip("\n"):
        folded = fold(clean(clip(text, limit)), head=25, tail=10)
        short = folded.head
        if folded.middle:
            end = "" if short.endswith("\n") else "\n"
            short = f"{short}{end}[... {folded.hidden} ...]\n{folded.tail}"
        yield ShownItem(_folded_html(folded), fence(short, "text"), short)
    elif part.get("type") == "image":
        url = part.get("url")
        words = ShownItem("", "*picture*", "[picture]")
        if isinstance(url, str) and _is_picture(url):
            image = f'<img src="{url}" alt="picture" style="{_IMAGE}">'
            words = ShownItem(image, "*picture*", "[picture]")
        yield words


def _folded_html(folded: Folded) -> str:
    if not folded.middle:
        return pre(folded.head)
    middle = details(f"… {folded.hidden}", pre(folded.middle))
    return pre(folded.head) + middle + (pre(folded.tail) if folded.tail else "")


def _is_picture(url: str) -> bool:
    """Return whether this is the data URL of a PNG or JPEG, and nothing that HTML would read otherwise."""
    head, _, encoded = url.partition(",")
    mime = head.removeprefix("data:").removesuffix(";base64")
    if head != f"data:{mime};base64" or mime not in ("image/png", "image/jpeg"):
        return False
    try:
        return len(url) <= _LONGEST_PICTURE and is_kind(base64.b64decode(encoded, validate=True), mime)
    except (binascii.Error, ValueError):
        return False
