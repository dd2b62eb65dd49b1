"""A conversation as a request body of Anthropic's Messages API.

`system`, `messages` and `tools` are complete; the reader adds `model` and `max_tokens`. The API demands that
a user speaks first, that the roles alternate, that each `tool_use` has its `tool_result` at the start of the
next message, and that no text is empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent_kernel.conversion.chat import to_chat
from agent_kernel.models.anthropic.messages import BEGINNING
from agent_kernel.models.anthropic.parts import document_block, image_block
from agent_kernel.store.records import ResponseRow

Json = Mapping[str, Any]
Block = dict[str, Any]

NO_OUTPUT = "[No output.]"
LEFT_OUT = "[{} is left out: the Messages API has no form for it.]"

_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")


def to_anthropic(rows: Sequence[ResponseRow]) -> dict[str, Any]:
    """Return `messages`, and `system` and `tools` if there are any."""
    body = to_chat(rows)
    said: list[Json] = list(body["messages"])
    first = next((place for place, each in enumerate(said) if each["role"] != "system"), len(said))
    made: dict[str, Any] = {"messages": _alternating(said[first:])}
    if system := "\n\n".join(text for each in said[:first] if (text := _text_of(each["content"]))):
        made["system"] = system
    if "tools" in body:
        made["tools"] = [_tool(each["function"]) for each in body["tools"]]
    return made


def _tool(function: Json) -> Block:
    described = {"description": function["description"]} if "description" in function else {}
    return {
        "name": function["name"],
        **described,
        "input_schema": {"type": "object", **function["parameters"]},
    }


def _alternating(said: Sequence[Json]) -> list[Block]:
    messages: list[Block] = []
    for each in said:
        role = "assistant" if each["role"] == "assistant" else "user"
        if not messages and role == "assistant":
            messages.append({"role": "user", "content": [_text(BEGINNING)]})
        if not messages or messages[-1]["role"] != role:
            messages.append({"role": role, "content": []})
        messages[-1]["content"] += _blocks(each)
    for message in messages:
        if message["role"] == "user":  # results come first
            message["content"].sort(key=lambda block: block["type"] != "tool_result")
        message["content"] = message["content"] or [_text(NO_OUTPUT)]
    return messages


def _blocks(message: Json) -> Iterator[Block]:
    match message["role"]:
        case "tool":
            text = _text_of(message["content"]) or NO_OUTPUT
            use = _NOT_IN_IDS.sub("_", str(message["tool_call_id"]))
            yield {"type": "tool_result", "tool_use_id": use, "content": text}
        case "system":
            yield _text(f"<developer>\n{_text_of(message['content'])}\n</developer>")
        case _:
            yield from _said(message["content"])
            yield from map(_tool_use, message.get("tool_calls") or ())


def _said(content: Any) -> Iterator[Block]:
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or ():
        if part["type"] != "text":
            yield _attached(part)
        elif text := part["text"].strip():
            yield _text(text)


def _tool_use(call: Json) -> Block:
    arguments = json.loads(call["function"]["arguments"])
    name = call["function"]["name"]
    return {"type": "tool_use", "id": _NOT_IN_IDS.sub("_", str(call["id"])), "name": name, "input": arguments}


def _attached(part: Json) -> Block:
    """Return an image or a file as the API has it, and a line of text for one that it has no form for."""
    block: Block | None = None
    if part["type"] == "image_url":
        block = image_block(part["image_url"]["url"])
    elif part["type"] == "file":
        block = document_block(str(part["file"].get("file_data")))
    return block or _text(
        LEFT_OUT.format({"image_url": "An image", "file": "A file"}.get(part["type"], "Audio"))
    )


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content.strip()
    return "\n".join(part["text"] for part in content or () if part.get("type") == "text").strip()
