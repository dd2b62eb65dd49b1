"""Completes input items for the API's lists, because clients may send a short form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai import BaseModel


class Shown(BaseModel):
    """An item of any type, with its fields as they are."""

    id: str


def shown(item: Mapping[str, Any]) -> Shown:
    """Make the item to show: a message's text as a list of parts, and a status where types demand one."""
    whole = dict(item)
    if whole["type"] == "message":
        whole["content"] = _parts(whole["role"], whole["content"])
    if whole["type"] not in ("compaction", "item_reference"):
        whole.setdefault("status", "completed")
    return Shown.construct(**whole)


def _parts(role: str, content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        content = [{"type": "output_text" if role == "assistant" else "input_text", "text": content}]
    parts = [dict(part) for part in content]
    for part in parts:
        if part.get("type") == "output_text":
            part.setdefault("annotations", [])
    return parts
