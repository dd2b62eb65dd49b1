"""Render messages of the model. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_kernel.kernel.render.bundles import ShownItem
from agent_kernel.kernel.render.markdown import to_html, to_safe_markdown
from agent_kernel.kernel.render.stored import Item
from agent_kernel.kernel.render.text import clean, clip


def message(item: Item, limit: int) -> ShownItem | None:
    """Render the message's Markdown; None for an empty message."""
    text = message_text(item, limit)
    return ShownItem(answer_html(to_html(text)), to_safe_markdown(text), clean(text)) if text else None


def message_text(item: Item, limit: int) -> str:
    """Return the message's Markdown, cut to `limit` characters; "" for an empty message."""
    texts = [_part_text(part) for part in item.get("content") or []]
    text = clip("\n\n".join(text for text in texts if text), limit)
    return text if text.strip() else ""


def answer_html(body_html: str) -> str:
    """Return the block of an answer; `body_html` is not escaped."""
    return f'<div style="margin-top: 6px">{body_html}</div>'


def _part_text(part: Mapping[str, Any]) -> str:
    if part.get("type") == "refusal":
        return f"The model declined: {part.get('refusal') or ''}"
    return str(part.get("text") or "")
