"""Output items as mime bundles: from an item's JSON to what a notebook stores.

Each bundle has `text/html`, `text/markdown` and `text/plain`, each readable alone, and the item itself as
`application/vnd.agent-kernel.item+json`. Values that differ from run to run (ids, container, times) are only
in the output's metadata, so that equal runs compare equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent_kernel.kernel.render.approval import approval_request, approval_response
from agent_kernel.kernel.render.base import Render
from agent_kernel.kernel.render.bundles import METADATA_KEY, Bundle
from agent_kernel.kernel.render.code import outputs
from agent_kernel.kernel.render.code.call import code_call, displays
from agent_kernel.kernel.render.code.outputs import CODE
from agent_kernel.kernel.render.desktop import call as computer
from agent_kernel.kernel.render.generic import generic, upstreams
from agent_kernel.kernel.render.mcp.call import mcp_call, mcp_list_tools
from agent_kernel.kernel.render.message import message
from agent_kernel.kernel.render.patch import patch_call, patch_output
from agent_kernel.kernel.render.reasoning import reasoning
from agent_kernel.kernel.render.registry import INSTALLED
from agent_kernel.kernel.render.search.call import file_search_call
from agent_kernel.kernel.render.search.web import web_search_call
from agent_kernel.kernel.render.shell import shell_call, shell_output
from agent_kernel.kernel.render.stored import ITEM_MIME, MAX_STORED, Item, particulars, public
from agent_kernel.protocol.deltas import made_upstream

RENDERERS: dict[str, Render] = {
    "message": message,
    "reasoning": reasoning,
    "shell_call": shell_call,
    "shell_call_output": shell_output,
    CODE: code_call,
    "apply_patch_call": patch_call,
    "computer_call": computer.computer_call,
    "computer_call_output": computer.computer_output,
    "apply_patch_call_output": patch_output,
    "mcp_approval_request": approval_request,
    "mcp_approval_response": approval_response,
    "mcp_call": mcp_call,
    "mcp_list_tools": mcp_list_tools,
    "file_search_call": file_search_call,
    "web_search_call": web_search_call,
}
"""The built-in renderers by item type. To add one, add a file to this folder and a line here; see `base`."""

Seconds = Sequence[float | None]
"""How long each command of an item took, or its code; None where it is not known."""


def renderer_for(item_type: str) -> Render:
    """Return the renderer for this type: built in, from an installed package, or generic."""
    return RENDERERS.get(item_type) or INSTALLED.get(item_type) or generic


def render_item(item: Item, render: Render | None = None, seconds: Seconds = ()) -> Bundle | None:
    """Return the bundle of one item; None for an item with nothing to show (reasoning without a summary).

    `render` replaces the renderer of its type. `seconds` goes to the metadata, where it does not
    make two runs differ. `render_all` also has what code displayed.
    """
    limit = limit_of(item)
    if made_upstream(item) is not None:
        item, render = {name: item[name] for name in item if name != "agent_kernel"}, render or upstreams
    shown = (render or renderer_for(str(item.get("type"))))(item, limit)
    if shown is None:
        return None
    about = particulars(item)
    if seconds:
        about["seconds"] = [None if each is None else round(each, 1) for each in seconds]
    bundle = shown.bundle(**about)
    bundle.data[ITEM_MIME] = public(_stored(item), limit)
    return bundle


def render_all(item: Item, render: Render | None = None, seconds: Seconds = ()) -> Iterator[Bundle]:
    """Yield the bundles of one item: its own, and one for each thing that its code displayed."""
    if (bundle := render_item(item, render, seconds)) is not None:
        yield bundle
    if item.get("type") == CODE:
        for shown in displays(item, limit_of(item)):
            shown.metadata.setdefault(METADATA_KEY, {}).update(particulars(item))
            yield shown
    elif (seen := computer.screen_after(item)) is not None:
        seen.metadata.setdefault(METADATA_KEY, {}).update(particulars(item))
        yield seen


def limit_of(item: Item) -> int:
    """Return how many characters of each long text of the item the notebook stores."""
    return MAX_STORED // max(1, _long_texts(_stored(item)))


def _stored(item: Item) -> Item:
    return computer.stored(outputs.stored(item))


def _long_texts(value: Any) -> int:
    """Count the item's long texts, which share the limit of what a notebook stores."""
    if isinstance(value, Mapping):
        return sum(_long_texts(inner) for inner in value.values())
    if isinstance(value, (list, tuple)):
        return sum(_long_texts(inner) for inner in value)
    return int(isinstance(value, str) and len(value) > 500)
