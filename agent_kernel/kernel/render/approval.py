"""Render approval requests as stored in a notebook. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent_kernel.kernel.render.bundles import QUIET, ShownItem, box
from agent_kernel.kernel.render.markdown import to_inline_html, to_safe_markdown
from agent_kernel.kernel.render.text import clip

LONGEST = 2000
"""The longest reason or command on one line, in characters."""


def arguments_of(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments of an `mcp_approval_request`; empty if they cannot be read."""
    try:
        found = json.loads(str(item.get("arguments")))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def approval_request(item: Mapping[str, Any], _limit: int = 0) -> ShownItem:
    """Render an approval request: the reason why the call above it needs approval."""
    reason = clip(str(arguments_of(item).get("reason") or ""), LONGEST)
    text = f"**May this run?** {one_line(reason)}".rstrip()
    quiet = f'<span style="opacity: 0.8; font-size: 13px">{to_inline_html(text)}</span>'
    return ShownItem(box(QUIET, quiet), to_safe_markdown(text), text)


def one_line(text: str) -> str:
    """Return the text on one line, cut to `LONGEST` characters."""
    return " ".join(clip(text, LONGEST).split())
