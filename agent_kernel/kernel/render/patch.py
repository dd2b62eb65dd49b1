"""Render the calls of `apply_patch` as coloured diffs, and their outcomes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.kernel.render.bundles import CALL, QUIET, ShownItem, box, details, pre_html
from agent_kernel.kernel.render.markdown import to_inline_html, to_safe_markdown
from agent_kernel.kernel.render.stored import Item
from agent_kernel.kernel.render.text import clean, clip, code, escape, fence

OPEN_LINES = 60
"""Up to this many lines of diff are shown without a click."""

_ADDED = "background-color: rgba(46, 160, 67, 0.18)"
_REMOVED = "background-color: rgba(219, 68, 55, 0.18)"
_FAINT = "opacity: 0.7"
_STYLES = {"+": _ADDED, "-": _REMOVED, "@": _FAINT, "[": _FAINT, "\\": _FAINT}
_WORDS = {"create_file": "New file", "update_file": "Change", "delete_file": "Delete"}
UNDO = "`%rewind` goes back to before this cell."


def patch_call(item: Item, limit: int) -> ShownItem | None:
    """Render a call: what it does with which file, and its diff, cut to `limit` characters."""
    operation = item.get("operation")
    if not isinstance(operation, Mapping):
        return None
    head = _head(item, operation)
    diff = clean(clip(str(operation.get("diff") or ""), limit))
    if not diff:
        return ShownItem(box(CALL, escape(head)), code(head), head)
    lines = diff.rstrip("\n").split("\n")
    body = pre_html(coloured_diff(lines))
    folded = len(lines) > OPEN_LINES
    html = details(escape(head), body) if folded else f"<b>{escape(head)}</b>{body}"
    return ShownItem(box(CALL, html), f"{code(head)}\n\n{fence(diff, 'diff')}", f"{head}\n{diff}")


def patch_output(item: Item, limit: int) -> ShownItem | None:
    """Render an outcome: what was done and how to undo it, or why nothing was done."""
    said = clean(clip(str(item.get("output") or ""), limit)).strip()
    if item.get("status") == "completed":
        text = f"{_inline(said) or 'Applied.'} {UNDO}"
    else:
        text = f"**Not applied.** {_inline(said)}".rstrip()
    quiet = f'<span style="opacity: 0.8; font-size: 13px">{to_inline_html(text)}</span>'
    return ShownItem(box(QUIET, quiet), to_safe_markdown(text), text.replace("`", "").replace("**", ""))


def coloured_diff(lines: Sequence[str]) -> str:
    """Return the clean lines of a diff as HTML."""
    pieces = []
    for text in lines:
        style = _STYLES.get(text[:1])
        pieces.append(f'<span style="{style}">{escape(text)}</span>' if style else escape(text))
    return "\n".join(pieces)


def _head(item: Item, operation: Mapping[str, Any]) -> str:
    ours = item.get("agent_kernel")
    target = ours.get("move_to") if isinstance(ours, Mapping) else None
    path = " ".join(clean(str(operation.get("path"))).split())
    moved = f" → {' '.join(clean(str(target)).split())}" if target else ""
    return f"{_WORDS.get(str(operation.get('type')), 'Change')}: {path}{moved}"


def _inline(said: str) -> str:
    return code(" ".join(said.split())) if said else ""
