"""The translation of items into Chat Completions messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.models.base import Item
from agent_kernel.models.conversation import answered, kind, text_of
from agent_kernel.models.offered import Offered
from agent_kernel.tools.catalogue import catalogue

Message = dict[str, Any]


def translate(items: Sequence[Item], *, instructions: str | None, offered: Offered) -> list[Message]:
    """Translate the items into messages, oldest first. `instructions` become a first, system message.

    Adjacent text and calls of the assistant become one message, as servers demand for parallel calls.
    Reasoning is left out, because most servers refuse it as input.
    """
    messages: list[Message] = [{"role": "system", "content": instructions}] if instructions else []
    for item in answered(items):
        match kind(item):
            case "message" if item.get("role") == "assistant":
                _say(messages, text_of(item.get("content")))
            case "message":
                role = "user" if item.get("role") == "user" else "system"
                messages.append({"role": role, "content": _content(item.get("content"))})
            case other:
                _of_tool(messages, other, item, offered)
    return messages


def _of_tool(messages: list[Message], item_type: str, item: Item, offered: Offered) -> None:
    """Add a tool's call or output. Items of other types are left out."""
    if (tool := catalogue().of_call(item_type)) is not None:
        name = item["name"] if tool.by_client else offered.name(tool)
        _call(messages, item["call_id"], name, tool.arguments_text(item))
    elif (tool := catalogue().of_output(item_type)) is not None:
        messages.append(_tool(item["call_id"], tool.result(item)))


def _assistant(messages: list[Message]) -> Message:
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    return messages[-1]


def _say(messages: list[Message], text: str) -> None:
    message = _assistant(messages)
    if message.get("tool_calls"):  # text after calls: keep it in the message that their outputs follow
        message["content"] = "\n\n".join(filter(None, [message["content"], text]))
    elif message["content"] is None:
        message["content"] = text
    else:
        messages.append({"role": "assistant", "content": text})


def _call(messages: list[Message], call_id: str, name: str, arguments: str) -> None:
    function = {"name": name, "arguments": arguments}
    call = {"id": call_id, "type": "function", "function": function}
    _assistant(messages).setdefault("tool_calls", []).append(call)


def _tool(call_id: str, content: str) -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def _content(content: Any) -> Any:
    if isinstance(content, str):
        return content
    parts = [_part(part) for part in content or []]
    if all(part["type"] == "text" for part in parts):  # many servers take only strings
        return "\n".join(part["text"] for part in parts)
    return parts


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    match part.get("type"):
        case "input_image" if part.get("image_url"):
            image = {"url": part["image_url"]}
            if part.get("detail"):
                image["detail"] = part["detail"]
            return {"type": "image_url", "image_url": image}
        case "input_file":
            names = ("file_data", "file_id", "filename")
            return {"type": "file", "file": {name: part[name] for name in names if part.get(name)}}
        case _:
            return {"type": "text", "text": str(part.get("text") or "")}
