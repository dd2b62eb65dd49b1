"""Output items as mime bundles: pure functions from an item's JSON to what a notebook stores.

Every bundle has `text/html`, `text/markdown` and `text/plain`, each readable alone, and the item itself as
`application/vnd.agent-kernel.item+json`. What differs from run to run (ids, container, times) stands in the
output's metadata only, so that two runs that did the same thing compare equal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from agent_kernel.kernel.render.approvals import approval_request
from agent_kernel.kernel.render.bundles import (
    METADATA_KEY,
    QUIET,
    Bundle,
    ShownItem,
    box,
    details,
    note,
    notice,
    pre,
    table,
)
from agent_kernel.kernel.render.commands import shell_call, shell_output
from agent_kernel.kernel.render.markdown import to_html, to_safe_markdown
from agent_kernel.kernel.render.text import clean, clip, code, escape, fence, fold

__all__ = [
    "ITEM_MIME",
    "METADATA_KEY",
    "Bundle",
    "ShownItem",
    "note",
    "notice",
    "pre",
    "public",
    "render_item",
    "table",
]

ITEM_MIME = "application/vnd.agent-kernel.item+json"

MAX_STORED = 30_000
"""Characters of one item's texts that a notebook keeps; the runtime's store has all that the model saw."""

Item = Mapping[str, Any]
"""An output item as JSON, as in `openai.types.responses.ResponseOutputItem`."""


def render_item(item: Item) -> Bundle | None:
    """The bundle of one item; None for an item that has nothing to show (reasoning without a summary)."""
    limit = MAX_STORED // max(1, _long_texts(item))
    shown = _RENDERERS.get(str(item.get("type")), _unknown)(item, limit)
    if shown is None:
        return None
    bundle = shown.bundle(**_particulars(item))
    bundle.data[ITEM_MIME] = public(item, limit)
    return bundle


def _long_texts(value: Any) -> int:
    """How many texts of an item there are that it pays to cut: they share what a notebook keeps of it."""
    if isinstance(value, Mapping):
        return sum(_long_texts(inner) for inner in value.values())
    if isinstance(value, (list, tuple)):
        return sum(_long_texts(inner) for inner in value)
    return int(isinstance(value, str) and len(value) > 500)


# --- the item itself, without what differs from run to run -------------------------------------------

_PARTICULAR = {"id", "item_id", "call_id", "container_id", "created_by", "caller", "encrypted_content"}
_LEFT_OUT = {"annotations", "logprobs", "environment"}


def public(value: Any, limit: int = MAX_STORED) -> Any:
    """The item's JSON without ids, nulls and opaque fields, each text of at most `limit` characters."""
    if isinstance(value, Mapping):
        return {
            _whole(str(key)): public(inner, limit)
            for key, inner in value.items()
            if key not in _PARTICULAR and key not in _LEFT_OUT and inner is not None
        }
    if isinstance(value, (list, tuple)):
        return [public(inner, limit) for inner in value]
    return _whole(clip(value, limit)) if isinstance(value, str) else value


def _whole(text: str) -> str:
    """Half a character from a model or a file must not break the message."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _particulars(item: Item) -> dict[str, Any]:
    found = {key: _whole(str(item[key])) for key in ("id", "call_id") if item.get(key)}
    environment = item.get("environment")
    if isinstance(environment, Mapping) and environment.get("container_id"):
        found["container_id"] = environment["container_id"]
    return found


# --- items ----------------------------------------------------------------------------------------------


def _message(item: Item, limit: int) -> ShownItem | None:
    texts = [_part_text(part) for part in item.get("content") or []]
    text = clip("\n\n".join(text for text in texts if text), limit)
    if not text.strip():
        return None
    return ShownItem(
        f'<div style="margin-top: 6px">{to_html(text)}</div>', to_safe_markdown(text), clean(text)
    )


def _part_text(part: Mapping[str, Any]) -> str:
    if part.get("type") == "refusal":
        return f"The model declined: {part.get('refusal') or ''}"
    return str(part.get("text") or "")


def _reasoning(item: Item, limit: int) -> ShownItem | None:
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


def _unknown(item: Item, limit: int) -> ShownItem | None:
    """An item of a kind that is not ours to explain: its name, and its JSON folded away."""
    name = str(item.get("type") or "item")
    text = clip(json.dumps(public(item, limit), indent=1, ensure_ascii=False, default=str), limit)
    folded = fold(text, head=20, tail=5)
    short = f"{folded.head}[... {folded.hidden} ...]\n{folded.tail}" if folded.middle else text
    return ShownItem(
        html=box(QUIET, details(escape(name), pre(text))),
        markdown=f"*{code(name)}*\n\n{fence(short, 'json')}",
        plain=f"{clean(name)}\n{clean(short)}",
    )


_RENDERERS: dict[str, Callable[[Item, int], ShownItem | None]] = {
    "message": _message,
    "reasoning": _reasoning,
    "shell_call": shell_call,
    "shell_call_output": shell_output,
    "mcp_approval_request": approval_request,
}
