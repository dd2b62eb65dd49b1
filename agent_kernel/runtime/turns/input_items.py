"""Input items, checked: what a client may say, and what it may send back of what was said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol import ids
from agent_kernel.runtime.approvals.items import RESPONSE, check_answer

Json = Mapping[str, Any]

_ROLES = ("user", "assistant", "system", "developer")

OUTPUT_OF = {
    "function_call": "function_call_output",
    "shell_call": "shell_call_output",
    "custom_tool_call": "custom_tool_call_output",
}
"""Which item answers which call; both carry the same `call_id`."""


def read_items(given: object, where: str) -> list[Json]:
    """Input items, checked, each with an id. Raises `InvalidRequest`, naming the place in `where`."""
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise InvalidRequest(f"{where} must be a string or a list of items.", param=where)
    return [identified(_item(item, f"{where}[{index}]")) for index, item in enumerate(given)]


def identified(item: Json) -> Json:
    """The item with an id of its own, unless it has one."""
    if isinstance(item.get("id"), str) and item["id"]:
        return item
    return {**item, "id": ids.item_id(item["type"])}


def _item(item: object, where: str) -> Json:
    if not isinstance(item, Mapping):
        raise InvalidRequest(f"{where} must be an object.", param=where)
    kind = item.get("type", "message")
    if not isinstance(kind, str):
        raise InvalidRequest(f"{where}.type must be a string.", param=f"{where}.type")
    if kind == "item_reference" and not isinstance(item.get("id"), str):
        raise InvalidRequest(f"{where}.id must be a string.", param=f"{where}.id")
    if kind == "message":
        _check_message(item, where)
    elif kind in (*OUTPUT_OF, *OUTPUT_OF.values()):
        _check_call(item, kind, where)
    elif kind == RESPONSE:
        check_answer(item, where)
    return {**item, "type": kind}


def _check_message(item: Json, where: str) -> None:
    if item.get("role") not in _ROLES:
        raise InvalidRequest(f"{where}.role must be one of {', '.join(_ROLES)}.", param=f"{where}.role")
    content = item.get("content")
    if not isinstance(content, str | Sequence) or isinstance(content, bytes):
        raise InvalidRequest(f"{where}.content must be a string or a list.", param=f"{where}.content")
    for index, part in enumerate(() if isinstance(content, str) else content):
        if not isinstance(part, Mapping) or not isinstance(part.get("text", ""), str | None):
            raise InvalidRequest(
                f"{where}.content[{index}] must be an object, its text a string.", param=f"{where}.content"
            )


def _check_call(item: Json, kind: str, where: str) -> None:
    call_id = item.get("call_id")
    if not isinstance(call_id, str) or not call_id:
        raise InvalidRequest(f"{where}.call_id must be a string.", param=f"{where}.call_id")
    wanted: dict[str, tuple[tuple[str, type | UnionType], ...]] = {
        "function_call": (("name", str), ("arguments", str)),
        "function_call_output": (("output", str | list),),
        "custom_tool_call_output": (("output", str | list),),
        "shell_call": (("action", Mapping),),
        "shell_call_output": (("output", list),),
    }
    for name, type_ in wanted.get(kind, ()):
        if not isinstance(item.get(name), type_):
            raise InvalidRequest(f"{where}.{name} is missing, or of a wrong type.", param=f"{where}.{name}")
    if kind == "shell_call" and not _is_texts(item["action"].get("commands")):
        raise InvalidRequest(f"{where}.action.commands must be a list of strings.", param=f"{where}.action")
    if kind == "shell_call_output" and not all(_is_content(each) for each in item["output"]):
        raise InvalidRequest(
            f"{where}.output must be a list of objects with stdout, stderr and outcome.",
            param=f"{where}.output",
        )


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_content(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("stdout"), str)
        and isinstance(value.get("stderr"), str)
        and isinstance(value.get("outcome"), Mapping)
    )


def message(role: str, text: str) -> Json:
    """An input message of one text."""
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}
