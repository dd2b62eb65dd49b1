"""The translation of items into Chat Completions messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agent_kernel.models.base import Item
from agent_kernel.models.chat_parts import Part, content_of, split_output
from agent_kernel.models.conversation import (
    CUSTOM_CALL,
    CUSTOM_OUTPUT,
    adjoining,
    answered,
    function_name,
    kind,
    text_of,
)
from agent_kernel.models.offered import Offered
from agent_kernel.tools.base import Tool
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.client import CLIENT_FUNCTION

Message = dict[str, Any]


def translate(items: Sequence[Item], *, instructions: str | None, offered: Offered) -> list[Message]:
    """Translate the items into messages, oldest first. `instructions` become a first, system message.

    Adjacent text and calls of the assistant become one message, as servers demand for parallel calls.
    Images and files in the outputs of functions follow the tool messages as one user message. Reasoning is
    left out, because most servers refuse it as input.
    """
    messages: list[Message] = [{"role": "system", "content": instructions}] if instructions else []
    returned: list[Part] = []
    for item in adjoining(answered(items)):
        if kind(item) in ("message", CUSTOM_CALL) or catalogue().of_call(kind(item)) is not None:
            _flush(messages, returned)
        match kind(item):
            case "message" if item.get("role") == "assistant":
                _say(messages, text_of(item.get("content")))
            case "message":
                role = "user" if item.get("role") == "user" else "system"
                messages.append({"role": role, "content": content_of(item.get("content"))})
            case other:
                returned += _of_tool(messages, other, item, offered)
    _flush(messages, returned)
    return messages


def _flush(messages: list[Message], returned: list[Part]) -> None:
    """Move what functions returned into a user message, once all outputs of their step are there."""
    if returned:
        messages.append({"role": "user", "content": list(returned)})
        returned.clear()


def _of_tool(messages: list[Message], item_type: str, item: Item, offered: Offered) -> Sequence[Part]:
    """Add a tool's call or output, and return the parts of the output that are not text.

    A custom call becomes a function call with its input as the only argument. Items of other types are left
    out.
    """
    if item_type == CUSTOM_CALL:
        arguments = json.dumps({"input": item.get("input")}, ensure_ascii=False)
        _call(messages, item["call_id"], function_name(item.get("name")), arguments)
    elif item_type == CUSTOM_OUTPUT:
        return _returned(messages, item, CLIENT_FUNCTION)
    elif (tool := catalogue().of_call(item_type)) is not None:
        name = item["name"] if tool.by_client else offered.call_name(tool, item)
        _call(messages, item["call_id"], name, tool.arguments_text(item))
    elif (tool := catalogue().of_output(item_type)) is not None:
        return _returned(messages, item, tool)
    return ()


def _returned(messages: list[Message], item: Item, tool: Tool) -> Sequence[Part]:
    call_id = item["call_id"]
    if tool.by_client:
        split = split_output(call_id, item.get("output"))
    else:
        split = split_output(call_id, [{"type": "input_text", "text": tool.result(item)}, *tool.parts(item)])
    text, others = split or (tool.result(item), ())
    messages.append(_tool(call_id, text))
    return others


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
