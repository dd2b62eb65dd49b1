"""Render items of any type: their type and status, arguments and result. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent_kernel.kernel.render.bundles import CALL, OUTPUT, QUIET, ShownItem, box, details, pre
from agent_kernel.kernel.render.stored import Item, public
from agent_kernel.kernel.render.text import clean, clip, code, escape, fence, fold

ARGUMENTS = ("arguments", "input", "action", "code", "query", "queries", "operation")
OUTPUTS = ("output", "outputs", "result", "results", "error")
"""The item fields that hold a call's arguments and its result."""


def generic(item: Item, limit: int) -> ShownItem:
    """Render an item: its type, name and status, then its arguments and its output.

    An item that has neither is shown as folded JSON.
    """
    kind = str(item.get("type") or "item")
    name = str(item.get("name") or "")
    status = str(item.get("status") or "")
    title = (f"{kind}: {name}" if name else kind) + (
        f" ({status})" if status not in ("", "completed") else ""
    )
    fields = [field for field in (*ARGUMENTS, *OUTPUTS) if item.get(field) not in (None, "", [], {})]
    if not fields:
        return _as_json(title, item, limit)
    texts = [clip(readable(item[field]), limit) for field in fields]
    html, markdown, plain = [], [], []
    for text in texts:
        folded = fold(clean(text), head=20, tail=5)
        short = f"{folded.head}[... {folded.hidden} ...]\n{folded.tail}" if folded.middle else folded.head
        html.append(pre(folded.head))
        if folded.middle:
            html.append(details(f"… {folded.hidden}", pre(folded.middle)) + pre(folded.tail))
        markdown.append(fence(short, "text"))
        plain.append(clean(short).rstrip("\n"))
    is_output = fields[0] in OUTPUTS
    head = f'<div style="opacity: 0.75; font-size: 12px">{escape(title)}</div>'
    return ShownItem(
        html=box(OUTPUT if is_output else CALL, head + "".join(html)),
        markdown="\n\n".join([f"*{code(title)}*", *markdown]),
        plain="\n".join([clean(title), *plain]),
    )


def _as_json(title: str, item: Item, limit: int) -> ShownItem:
    text = _dumped(item, limit)
    folded = fold(text, head=20, tail=5)
    short = f"{folded.head}[... {folded.hidden} ...]\n{folded.tail}" if folded.middle else text
    return ShownItem(
        html=box(QUIET, details(escape(title), pre(text))),
        markdown=f"*{code(title)}*\n\n{fence(short, 'json')}",
        plain=f"{clean(title)}\n{clean(short)}",
    )


def _dumped(item: Item, limit: int) -> str:
    return clip(json.dumps(public(item, limit), indent=1, ensure_ascii=False, default=str), limit)


def readable(value: Any) -> str:
    """Return a field's value as text: strings unchanged, JSON and lists of text parts unpacked."""
    if isinstance(value, str):
        try:
            parsed = json.loads(value) if value.lstrip()[:1] in ("{", "[") else None
        except (ValueError, RecursionError):
            return value
        return value if parsed is None else readable(parsed)
    if isinstance(value, (list, tuple)) and value and all(_is_text(part) for part in value):
        return "\n".join(str(part["text"]) for part in value)
    try:
        return json.dumps(public(value), indent=1, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):  # nested too deeply, or not a JSON number
        return "[not readable]"


def _is_text(part: Any) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("text"), str)


def upstreams(item: Item, limit: int) -> ShownItem:
    """Render an item that the model's server made with a tool of its own: one line that names it."""
    kind = clip(str(item.get("type") or "item"), 100)
    status = str(item.get("status") or "")
    what = f"{kind} ({clip(status, 100)})" if status not in ("", "completed") else kind
    html = details(escape(f"The model's server used a tool of its own: {what}"), pre(_dumped(item, limit)))
    line = "The model's server used a tool of its own: "
    return ShownItem(html=box(QUIET, html), markdown=f"*{line}{code(what)}*", plain=clean(line + what))
