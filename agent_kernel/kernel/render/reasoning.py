"""Render a model's reasoning. Pure."""

from __future__ import annotations

from agent_kernel.kernel.render.bundles import QUIET, ShownItem, box, details
from agent_kernel.kernel.render.markdown import to_html, to_safe_markdown
from agent_kernel.kernel.render.stored import Item
from agent_kernel.kernel.render.text import clean, clip


def reasoning(item: Item, limit: int) -> ShownItem | None:
    """Render the reasoning's summary and text, folded; None if it has neither."""
    parts = [*(item.get("summary") or []), *(item.get("content") or [])]
    text = clip("\n\n".join(str(part.get("text") or "") for part in parts), limit)
    if not text.strip():
        return None
    quoted = "\n".join(f"> {line}".rstrip() for line in to_safe_markdown(text).split("\n"))
    body = f'<div style="opacity: 0.75; font-size: 13px">{to_html(text)}</div>'
    return ShownItem(
        html=box(QUIET, details("Reasoning", body)),
        markdown=f"> *Reasoning*\n>\n{quoted}",
        plain=f"Reasoning:\n{clean(text)}",
    )
