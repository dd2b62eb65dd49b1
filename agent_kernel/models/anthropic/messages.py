"""The translation of items into the messages of the Messages API.

The API demands that a user speaks first and last, that the results of all calls of a message stand at the
beginning of the next one, that no text is blank, and that no message of the assistant ends in thinking.
"""

from __future__ import annotations

import json
import logging
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from agent_kernel.models.anthropic.computer import Form, use_of
from agent_kernel.models.anthropic.parts import Block, blocks_of, text_block
from agent_kernel.models.anthropic.thinking import block_of
from agent_kernel.models.base import Item
from agent_kernel.models.conversation import (
    CUSTOM_CALL,
    CUSTOM_OUTPUT,
    answered,
    function_name,
    kind,
    outputs_by_call,
    text_of,
)
from agent_kernel.models.offered import Offered
from agent_kernel.protocol.wellformed import well_formed
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.computer.tool import COMPUTER

log = logging.getLogger(__name__)

Message = dict[str, Any]

BEGINNING = "[The conversation begins here.]"
"""Stands for a user who has said nothing before the assistant."""
CONTINUE = "[Continue.]"
"""Stands for a user who has said nothing after the assistant: the API would continue the assistant's text."""
WITHOUT_CALL = "[Output of a call that is not in this conversation:]"

_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
_THINKING = ("thinking", "redacted_thinking")


def translate(
    items: Sequence[Item],
    *,
    instructions: str | None,
    offered: Offered,
    origin: str | None,
    computer: Form = "function",
) -> tuple[str, list[Message]]:
    """Return the system prompt, empty if there is none, and the messages, oldest first.

    `instructions` and the system messages before anything else become the system prompt; later ones are
    marked in a message of the user. `origin` names the model that gets its thinking back; None: send none.
    Items that no upstream understands (approvals, references) are left out. `computer` is the form of that
    tool's calls.
    """
    told = list(answered(items))
    first = next((n for n, item in enumerate(told) if not _is_system(item)), len(told))
    heads = [instructions, *(text_of(item.get("content")) for item in told[:first])]
    conversation = _Conversation(told[first:], offered, origin, computer)
    return "\n\n".join(text for text in heads if text and text.strip()), conversation.messages()


class _Conversation:
    """Builds the messages, one item after the other."""

    def __init__(self, items: Sequence[Item], offered: Offered, origin: str | None, computer: Form) -> None:
        self._computer = computer
        self._items = items
        self._offered = offered
        self._origin = origin
        self._messages: list[Message] = []
        self._calls: list[Any] = []  # call ids of the last message, if it is the assistant's
        self._ids: dict[Any, str] = {}
        self._results: dict[Any, deque[Item]] = {}
        outputs = set(outputs_by_call().values())
        for item in items:
            if kind(item) in outputs:
                self._results.setdefault(item.get("call_id"), deque()).append(item)

    def messages(self) -> list[Message]:
        """Return all messages."""
        for item in self._items:
            self._add(item)
        self._answer()
        messages = _merged(_without_last_thoughts(self._messages))
        if not messages or messages[0]["role"] == "assistant":
            messages.insert(0, {"role": "user", "content": [text_block(BEGINNING)]})
        if messages[-1]["role"] == "assistant":
            messages.append({"role": "user", "content": [text_block(CONTINUE)]})
        return messages

    def _add(self, item: Item) -> None:
        item_type = kind(item)
        if item_type == "message":
            self._message(item)
        elif item_type == "reasoning":
            if (block := block_of(item, self._origin)) is not None:
                self._say(block)
        elif item_type in outputs_by_call():
            self._call(item)
        elif item_type in outputs_by_call().values():
            self._output(item)
        else:
            log.debug("an item of type %r is not sent to the upstream", item_type)

    def _message(self, item: Item) -> None:
        if item.get("role") == "assistant":
            for block in blocks_of(text_of(item.get("content"))):
                self._say(block)
        elif _is_system(item):
            text = text_of(item.get("content")).strip()
            self._hear([text_block(f"<developer>\n{text}\n</developer>")] if text else [])
        else:
            self._hear(list(blocks_of(item.get("content"))))

    def _call(self, item: Item) -> None:
        tool = catalogue().of_call(kind(item))
        if kind(item) == CUSTOM_CALL and (tool is None or tool.by_client):
            name, given = str(item.get("name") or ""), {"input": item.get("input")}
        else:
            assert tool is not None  # noqa: S101 (only custom calls have none)
            own = str(item.get("name") or "") if tool.by_client else self._offered.call_name(tool, item)
            name, given = own, _object(tool.arguments_text(item))
        call_id = item.get("call_id")
        use: Block = {"name": function_name(name), "input": given}
        if kind(item) == COMPUTER.call_type:
            use = use_of(item, self._computer) or use
        self._say({"type": "tool_use", "id": self._id(call_id), **use})
        self._calls.append(call_id)

    def _output(self, item: Item) -> None:
        if item.get("call_id") in self._calls:
            self._answer()
        waiting = self._results.get(item.get("call_id"))
        if waiting and waiting[0] is item:  # its call did not come before it
            waiting.popleft()
            self._hear([text_block(WITHOUT_CALL), *self._content(item)])

    def _answer(self) -> None:
        """Add the results of the calls in the last message."""
        calls, self._calls = self._calls, []
        results = [self._result(call_id, self._results[call_id].popleft()) for call_id in calls]
        if results:
            self._messages.append({"role": "user", "content": results})

    def _result(self, call_id: Any, output: Item) -> Block:
        result: Block = {"type": "tool_result", "tool_use_id": self._id(call_id)}
        content = self._content(output)
        if len(content) == 1 and content[0]["type"] == "text":
            return {**result, "content": content[0]["text"]}
        return {**result, "content": content} if content else result

    def _content(self, output: Item) -> list[Block]:
        tool = catalogue().of_output(kind(output))
        by_client = kind(output) == CUSTOM_OUTPUT or tool is None or tool.by_client
        if by_client:
            return list(blocks_of(output.get("output")))
        assert tool is not None  # noqa: S101 (see above)
        return list(blocks_of([{"type": "input_text", "text": tool.result(output)}, *tool.parts(output)]))

    def _say(self, block: Block) -> None:
        if not self._messages or self._messages[-1]["role"] != "assistant":
            self._messages.append({"role": "assistant", "content": []})
        self._messages[-1]["content"].append(block)

    def _hear(self, blocks: list[Block]) -> None:
        self._answer()
        if blocks:
            self._messages.append({"role": "user", "content": blocks})

    def _id(self, call_id: Any) -> str:
        """Return a call's id with the API's characters, another one for each call."""
        if call_id not in self._ids:
            own = _NOT_IN_IDS.sub("_", str(call_id)) or "call"
            taken = own in self._ids.values()
            self._ids[call_id] = f"{own}_{len(self._ids)}" if taken else own
        return self._ids[call_id]


def _is_system(item: Item) -> bool:
    return kind(item) == "message" and item.get("role") not in ("user", "assistant")


def _without_last_thoughts(messages: list[Message]) -> Iterator[Message]:
    """Drop thinking at the end of a message: that of a turn which was interrupted before the model spoke."""
    for message in messages:
        content = list(message["content"])
        while content and message["role"] == "assistant" and content[-1]["type"] in _THINKING:
            content.pop()
        if content:
            yield {**message, "content": content}


def _merged(messages: Iterator[Message]) -> list[Message]:
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1]["role"] == message["role"]:
            merged[-1]["content"] += message["content"]
        else:
            merged.append(message)
    return merged


def _object(arguments: str) -> Any:
    """Return the arguments of a call, which the API takes only as an object."""
    try:
        given = well_formed(json.loads(arguments))
    except (ValueError, RecursionError):  # not JSON, or too deep
        given = None
    return given if isinstance(given, dict) else {"arguments": arguments}
