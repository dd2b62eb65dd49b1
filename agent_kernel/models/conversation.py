"""Input items: their type, their text, and those of the current turn."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agent_kernel.models.base import Item, Model, PassesItems
from agent_kernel.models.earlier import earlier_of, later_of
from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import is_rejected, rejection_of
from agent_kernel.protocol.deltas import made_upstream
from agent_kernel.tools.arguments import is_object, valid_json
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.coverage import ITEMS
from agent_kernel.tools.one_item import transcript_of

BY_ANOTHER = "Done by a tool of the server of the model that spoke here"

CUSTOM_CALL, CUSTOM_OUTPUT = "custom_tool_call", "custom_tool_call_output"
"""The items of tools that this server does not offer, but accepts from clients."""


_OUTPUT_BY_ID = "local_shell_call_output"
"""The only output whose `id` is that of its call."""


def kind(item: Item) -> str:
    """Return the item's type. An item without one is a message."""
    return str(item.get("type") or "message")


def is_passed(item: Item) -> bool:
    """Return whether only an API that has items of this type can read it: no tool of this server can.

    So can nobody else read an item of a type that this server does not know.
    """
    coverage = ITEMS.get(kind(item))
    if (coverage is not None and coverage.status != "passed through") or is_rejected(item):
        return False
    return catalogue().of_item(kind(item)) is None


def unread(conversation: Sequence[Item], model: Model, upstream_name: str) -> list[str]:
    """Return the types of a conversation's items that a model cannot read."""
    if isinstance(model, PassesItems) and model.passes_items(upstream_name):
        return []
    return sorted({kind(item) for item in conversation if is_passed(item)})


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


def outputs_by_call() -> Mapping[str, str]:
    """Return the type of the item that answers each type of call, as models get them."""
    return {**catalogue().outputs, CUSTOM_CALL: CUSTOM_OUTPUT}


def as_text(item: Item) -> Item | None:
    """Return a message that tells what a tool of another model's server did, None if that is nothing."""
    told = "\n".join(transcript_of(item))
    if not told:
        return None
    return {"type": "message", "role": "assistant", "content": f"[{BY_ANOTHER}]\n{told}"}


def answered(items: Sequence[Item], origin: str | None = None) -> Iterator[Item]:
    """Yield the items in a form that upstreams accept: every call has an output, and its arguments are JSON.

    What the upstream `origin` made with its own tools stays as it is; of others' it gets the text.

    Calls without output are left out; there is one when a turn ends in the middle of a call to the client's
    tools, or after one of a tool that nobody here has. A rejected call becomes a function call and its
    output.
    """
    output_of = outputs_by_call()
    ended = {item.get("call_id") for item in items if not kind(item).endswith("_call")}
    ended |= {item.get("id") for item in items if kind(item) == _OUTPUT_BY_ID}
    outputs = {(kind(item), item.get("call_id")) for item in items}
    open_calls: set[Any] = set()  # of one step: its outputs come after all its calls
    rejections: list[Item] = []  # outputs that wait for those of the other calls
    for item in items:
        output = output_of.get(kind(item))
        made = made_upstream(item)
        if made is not None and not is_passed(item):
            told = item if origin is not None and made.get("origin") == origin else as_text(item)
            yield from [told] if told is not None else []
        elif is_rejected(item):
            call, rejection = _rejected(item)
            yield call
            rejections.append(rejection)
        elif output is None and is_passed(item):
            if not item.get("call_id") or not kind(item).endswith("_call") or item["call_id"] in ended:
                yield item
        elif output is None:
            open_calls.discard(item.get("call_id"))
            if kind(item) in output_of.values():
                yield from rejections
                rejections = []
            yield item
        elif (output, item.get("call_id")) in outputs:
            open_calls.add(item.get("call_id"))
            yield _with_json(item)
        if rejections and not open_calls:
            yield from rejections
            rejections = []
    yield from rejections


def adjoining(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items with the outputs of calls directly after them, as Chat Completions demands.

    A message that comes between a call and its output is moved behind the output.
    """
    output_of, seen = outputs_by_call(), set[Any]()
    waiting: set[Any] = set()  # ids of calls whose outputs have not come yet
    moved: list[Item] = []
    for item in items:
        if kind(item) == "message" and item.get("role") != "assistant" and waiting:
            moved.append(item)
            continue
        yield item
        if kind(item) in output_of and item.get("call_id") not in seen:
            waiting.add(item.get("call_id"))
        elif kind(item) in output_of.values():
            seen.add(item.get("call_id"))
            waiting.discard(item.get("call_id"))
            if not waiting:
                yield from moved
                moved = []
    yield from moved


def _rejected(item: Item) -> tuple[Item, Item]:
    """Return a rejected call as a call to a function, and its output."""
    call_id = item.get("id")
    name = function_name(item.get("name"))
    arguments = valid_json(str(item.get("arguments") or ""))
    call = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
    return call, {"type": "function_call_output", "call_id": call_id, "output": rejection_of(item)}


def function_name(name: object) -> str:
    """Return a name as one that OpenAI's API accepts for functions."""
    return _NOT_IN_NAMES.sub("_", str(name or ""))[:_LONGEST_NAME] or "unnamed"


def _with_json(item: Item) -> Item:
    """Return the call with arguments that are JSON: some servers refuse a conversation for any other."""
    arguments = item.get("arguments")
    if kind(item) != "function_call" or not isinstance(arguments, str) or is_object(arguments):
        return item
    return {**item, "arguments": valid_json(arguments)}


_NOT_IN_NAMES = re.compile("[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64
"""Characters of a function's name that OpenAI's API accepts."""


class CallIds:
    """Ids for the calls of one step, unique in the conversation.

    Some servers number their calls from 0 in every step, and some send no ids. A conversation with a
    duplicate id can be neither stored nor continued.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self._earlier = earlier_of(items)
        self._used = {item.get("call_id") for item in later_of(items)}

    def unused(self, given: str | None) -> str:
        """Return the upstream's id if there is one and it is unused, otherwise a new id."""
        is_used = given in self._used or (self._earlier is not None and self._earlier.has(given))
        call_id = ids.call_id() if not given or is_used else given
        self._used.add(call_id)
        return call_id

    def another(self) -> str:
        """Return a new id."""
        return self.unused(None)
