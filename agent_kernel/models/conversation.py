"""Input items: their type, their text, and those of the current turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agent_kernel.models.base import Item
from agent_kernel.protocol import ids
from agent_kernel.tools.catalogue import catalogue


def kind(item: Item) -> str:
    """Return the item's type. An item without one is a message."""
    return str(item.get("type") or "message")


def text_of(content: Any) -> str:
    """Return the text of a message's content, a string or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") or part.get("refusal") for part in parts if isinstance(part, dict)]
    return "\n".join(str(text) for text in texts if text)


def last_user_message(items: Sequence[Item]) -> tuple[str, Sequence[Item]]:
    """Return the last user message's text, and the items after it, which the model has produced since.

    Without a user message, return "" and all items.
    """
    for index in range(len(items) - 1, -1, -1):
        item = items[index]
        if kind(item) == "message" and item.get("role") == "user":
            return text_of(item.get("content")), items[index + 1 :]
    return "", items


def answered(items: Sequence[Item]) -> Iterator[Item]:
    """Yield the items without calls that have no output, which every upstream refuses.

    A call without output is left when a turn ends in the middle of a call to the client's tools.
    """
    output_of = catalogue().outputs
    outputs = {(kind(item), item.get("call_id")) for item in items}
    for item in items:
        output = output_of.get(kind(item))
        if output is None or (output, item.get("call_id")) in outputs:
            yield item


class CallIds:
    """Ids for the calls of one step, unique in the conversation.

    Some servers number their calls from 0 in every step, and some send no ids. A conversation with a
    duplicate id can be neither stored nor continued.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self._used = {item.get("call_id") for item in items}

    def unused(self, given: str | None) -> str:
        """Return the upstream's id if there is one and it is unused, otherwise a new id."""
        call_id = ids.call_id() if not given or given in self._used else given
        self._used.add(call_id)
        return call_id
