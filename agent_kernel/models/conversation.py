"""Reads input items: their type, their text, and which of them belong to the present turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agent_kernel.models.base import Item
from agent_kernel.protocol import ids
from agent_kernel.tools.catalogue import catalogue


def kind(item: Item) -> str:
    """Return the item's type; a message may come without one."""
    return str(item.get("type") or "message")


def text_of(content: Any) -> str:
    """Join the text of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") or part.get("refusal") for part in parts if isinstance(part, dict)]
    return "\n".join(str(text) for text in texts if text)


def last_user_message(items: Sequence[Item]) -> tuple[str, Sequence[Item]]:
    """Return the last user message's text, and the items after it: what the model has done since.

    ("", everything) where there is no user message.
    """
    for index in range(len(items) - 1, -1, -1):
        item = items[index]
        if kind(item) == "message" and item.get("role") == "user":
            return text_of(item.get("content")), items[index + 1 :]
    return "", items


def answered(items: Sequence[Item]) -> Iterator[Item]:
    """Pass over calls that have no output: every upstream refuses a conversation with one of those.

    They are left over where a turn was cut off in the middle of a call to the client's tools.
    """
    output_of = catalogue().outputs
    outputs = {(kind(item), item.get("call_id")) for item in items}
    for item in items:
        output = output_of.get(kind(item))
        if output is None or (output, item.get("call_id")) in outputs:
            yield item


class CallIds:
    """Ids for the calls of one step, each used once in the conversation.

    Some servers number their calls from 0 in every step, and some give them no id at all; a conversation with
    the same id twice can be neither stored nor continued.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self._used = {item.get("call_id") for item in items}

    def unused(self, given: str | None) -> str:
        """Return the upstream's own id where it is usable, else a new one."""
        call_id = ids.call_id() if not given or given in self._used else given
        self._used.add(call_id)
        return call_id
