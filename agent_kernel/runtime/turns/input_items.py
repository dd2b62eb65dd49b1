"""Checks input items, new ones and earlier items that clients send back, and completes them for lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openai import BaseModel

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.conversation import CUSTOM_CALL, CUSTOM_OUTPUT
from agent_kernel.protocol import ids
from agent_kernel.protocol.desktop.items import OUTPUT as SCREEN
from agent_kernel.protocol.desktop.items import as_typed
from agent_kernel.protocol.params import item_types
from agent_kernel.protocol.validation import check, shortened
from agent_kernel.runtime.approvals.items import RESPONSE, check_answer
from agent_kernel.tools.additional import offers_tools, read_additional
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.coverage import check_item_type

Json = Mapping[str, Any]


def output_of() -> Json:
    """Return the type of the item that answers each type of call; both have the same `call_id`.

    Calls that hold their output need no answer and are not among them.
    """
    return {**catalogue().paired_outputs, CUSTOM_CALL: CUSTOM_OUTPUT}


def read_items(given: object, where: str) -> list[Json]:
    """Check input items and give each an id. Raises `InvalidRequest` with a parameter below `where`."""
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise InvalidRequest(f"{where} must be a list, not {shortened(given)}.", param=where)
    return [identified(_item(item, f"{where}[{index}]")) for index, item in enumerate(given)]


def identified(item: Json) -> Json:
    """Return the item with an id, a new one unless it has one."""
    if isinstance(item.get("id"), str) and item["id"]:
        return item
    return {**item, "id": ids.item_id(item["type"], catalogue().id_prefix(item["type"]))}


def _item(item: object, where: str) -> Json:
    if not isinstance(item, Mapping):
        raise InvalidRequest(f"{where} must be an object, not {shortened(item)}.", param=where)
    kind = item.get("type", "message")
    if not isinstance(kind, str):
        raise InvalidRequest(f"{where}.type must be a string, not {shortened(kind)}.", param=f"{where}.type")
    check_item_type(kind, where)
    if kind == SCREEN:
        item = as_typed(item)
    if kind in item_types():
        check(kind, item, where)
    if (tool := catalogue().of_item(kind)) is not None:
        tool.check_item(item, where)
    paired = tool is not None and not tool.one_item and tool.has_call_ids
    if (paired or kind in (CUSTOM_CALL, CUSTOM_OUTPUT)) and not item["call_id"]:
        raise InvalidRequest(f"{where}.call_id must not be empty.", param=f"{where}.call_id")
    if offers_tools(item):
        read_additional(item, where)
    if kind == RESPONSE:
        check_answer(item, where)
    nulls = {"call_id": None} if tool is not None and not tool.has_call_ids else {}  # some clients drop them
    return {**nulls, **item, "type": kind}


def message(role: str, text: str) -> Json:
    """Return an input message with one text."""
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


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
