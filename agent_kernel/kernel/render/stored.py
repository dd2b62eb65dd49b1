"""An output item as JSON for a notebook: bounded, without values that differ from run to run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_kernel.kernel.render.text import clip

ITEM_MIME = "application/vnd.agent-kernel.item+json"

MAX_STORED = 30_000
"""The number of characters stored of one item's texts; the runtime's store has the whole item."""

Item = Mapping[str, Any]
"""An output item as JSON, as in `openai.types.responses.ResponseOutputItem`."""

_PARTICULAR = {"id", "item_id", "call_id", "container_id", "created_by", "caller", "encrypted_content"}
_LEFT_OUT = {"annotations", "logprobs", "environment"}


def public(value: Any, limit: int = MAX_STORED) -> Any:
    """Return the item without ids, nulls and opaque fields, each text cut to `limit` characters."""
    if isinstance(value, Mapping):
        return {
            whole(str(key)): public(inner, limit)
            for key, inner in value.items()
            if key not in _PARTICULAR and key not in _LEFT_OUT and inner is not None
        }
    if isinstance(value, (list, tuple)):
        return [public(inner, limit) for inner in value]
    return whole(clip(value, limit)) if isinstance(value, str) else value


def whole(text: str) -> str:
    """Return the text without lone surrogates, which cannot be sent as JSON."""
    return text.encode("utf-8", "replace").decode("utf-8")


def particulars(item: Item) -> dict[str, Any]:
    """Return the ids of an item and its container for the output's metadata."""
    found = {key: whole(str(item[key])) for key in ("id", "call_id", "container_id") if item.get(key)}
    environment = item.get("environment")
    if isinstance(environment, Mapping) and environment.get("container_id"):
        found["container_id"] = environment["container_id"]
    return found
