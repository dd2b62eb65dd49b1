"""Render a call that could not be carried out. Pure."""

from __future__ import annotations

from agent_kernel.kernel.render.bundles import QUIET, ShownItem, box, details, pre
from agent_kernel.kernel.render.stored import Item
from agent_kernel.kernel.render.text import clean, clip, code, escape
from agent_kernel.protocol.calls import rejection_of

_NEXT = "The model got the reason and may try again."


def rejected_call(item: Item, limit: int) -> ShownItem:
    """Render a rejected call as one line, with its arguments folded."""
    name = " ".join(clean(clip(str(item.get("name") or ""), 100)).split()) or "a tool without a name"
    line = f"The model called {name}, which did not run. {_NEXT}"
    text = f"{clip(str(item.get('arguments') or ''), limit)}\n{clip(rejection_of(item), limit)}".strip()
    return ShownItem(
        html=box(QUIET, details(escape(line), pre(text))),
        markdown=f"*The model called {code(name)}, which did not run. {_NEXT}*",
        plain=line,
    )
