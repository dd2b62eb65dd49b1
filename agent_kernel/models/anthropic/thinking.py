"""Blocks of thinking, kept so that they can be sent back unchanged.

The API checks the signature of a block: it must come back with each character that the model wrote. So the
whole block is the encrypted content of its item of reasoning.
"""

from __future__ import annotations

import json
from typing import Any

from agent_kernel.models.base import Item
from agent_kernel.models.responses_input import opened, wrap

_FIELDS = {"thinking": ("thinking", "signature"), "redacted_thinking": ("data",)}
"""The fields of each type of block, all texts."""


def sealed(block: dict[str, Any], origin: str) -> str:
    """Return a block as the encrypted content of an item. `origin` names the model that wrote it."""
    return wrap("", origin, json.dumps(block))


def block_of(item: Item, origin: str | None) -> dict[str, Any] | None:
    """Return the block of an item of reasoning, or None if it has none or another model wrote it.

    A client may send any encrypted content: what is not such a block is not sent. Whether the signature is
    right only the API can tell.
    """
    found = opened(item, origin)
    if found is None or "id" not in found:  # not in our envelope: no Messages API wrote it
        return None
    try:
        block = json.loads(found["encrypted_content"])
    except (ValueError, TypeError, RecursionError):
        return None
    fields = _FIELDS.get(str(block.get("type"))) if isinstance(block, dict) else None
    if fields is None or not all(isinstance(block.get(name), str) for name in fields):
        return None
    return {"type": block["type"], **{name: block[name] for name in fields}}
