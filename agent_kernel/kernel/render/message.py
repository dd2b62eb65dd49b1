"""Render messages of the model. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent_kernel.kernel.render.bundles import QUIET, ShownItem
from agent_kernel.kernel.render.markdown import to_html, to_safe_markdown
from agent_kernel.kernel.render.search.cited import Passages, cited_html
from agent_kernel.kernel.render.stored import Item
from agent_kernel.kernel.render.text import clean, clip, escape, markdown_text

_NAME = 200
_MOST = 50
"""Characters of a cited document's name, and documents, that are shown."""

CITED = "agent-kernel-cited"
"""The class by which the JupyterLab extension finds the documents below an answer, each an element."""


def message(item: Item, limit: int, passages: Passages | None = None) -> ShownItem | None:
    """Render the message's Markdown; None for an empty one. `passages` are of documents that it may cite."""
    text = message_text(item, limit)
    if not text:
        return None
    shown = with_sources(ShownItem(to_html(text), to_safe_markdown(text), clean(text)), item, passages)
    return replace(shown, html=answer_html(shown.html))


def with_sources(shown: ShownItem, item: Item, passages: Passages | None = None) -> ShownItem:
    """Return a message with a line that names the documents it cites, if it cites any.

    In HTML each unfolds to those of `passages` that are of it.
    """
    sources = sources_of(item)
    if not sources:
        return shown
    found = passages or {}
    folded = {name: [text for each in ids for text in found.get(each, ())] for name, ids in sources.items()}
    if any(folded.values()):
        cited = "Cited:" + "".join(cited_html(name, texts) for name, texts in folded.items())
    else:
        cited = f"Cited: {escape(', '.join(sources))}"
    return ShownItem(
        f'{shown.html}<div class="{CITED}" style="{QUIET}">{cited}</div>',
        f"{shown.markdown}\n\n*Cited:* {', '.join(map(markdown_text, sources))}",
        f"{shown.plain}\n\nCited: {', '.join(sources)}",
    )


def sources_of(item: Item) -> dict[str, list[str]]:
    """Return the names of the documents that the message cites, each with the ids of its files."""
    parts = [part for part in item.get("content") or [] if isinstance(part, Mapping)]
    cited = [each for part in parts for each in part.get("annotations") or []]
    found: dict[str, list[str]] = {}
    for each in cited:
        if not isinstance(each, Mapping) or each.get("type") != "file_citation":
            continue
        name = " ".join(clean(clip(str(each.get("filename") or ""), _NAME)).split())
        file_id = str(each.get("file_id") or "")
        if name and len(found) < _MOST and file_id not in found.setdefault(name, []):
            found[name].append(file_id)
    return found


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
