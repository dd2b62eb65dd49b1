"""The translation of items into the input of another server's Responses API."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from agent_kernel.models.base import Item
from agent_kernel.models.conversation import (
    CUSTOM_CALL,
    CUSTOM_OUTPUT,
    answered,
    is_passed,
    kind,
    outputs_by_call,
    text_of,
)
from agent_kernel.models.offered import Offered
from agent_kernel.protocol.deltas import as_made, made_upstream
from agent_kernel.tools.catalogue import catalogue

log = logging.getLogger(__name__)

_ENVELOPE = "ak1"
LABELS = ("phase", "namespace", "caller", "async")
"""Fields of items that newer upstreams give and want back: of messages, and of calls with their outputs."""


def wrap(item_id: str, origin: str, encrypted_content: str) -> str:
    """Put an upstream's encrypted reasoning or compaction into an envelope with its id and origin.

    The blob is bound to the id that the upstream gave the item, and only the model that wrote it can read it.
    Our item has another id, and a notebook may change the model between two turns.
    """
    return json.dumps([_ENVELOPE, item_id, origin, encrypted_content])


def translate(
    items: Sequence[Item],
    *,
    offered: Offered,
    origin: str | None,
    maker: str | None = None,
    labels: bool = True,
    others: bool = True,
) -> list[dict[str, Any]]:
    """Translate the items for an upstream that stores nothing, without our ids.

    `offered` decides the form of each tool's items. `origin` names the upstream and model that get their
    encrypted reasoning back; None: send no reasoning. `maker` names them too: it gets back what it made with
    its own tools, as it was. `labels` False leaves out the `LABELS`, `others` False those, and the items
    that `is_passed` (see there). Items that no upstream understands (approvals, references) are left out, and
    so are those before the upstream's last compaction.
    """
    kept = items if others else [item for item in items if not is_passed(item)]
    own = maker if others else None
    told = _without_lone_reasoning(_since_compaction(list(answered(kept, own)), origin))
    sent = [out for item in told for out in _translate(item, offered, origin, own)]
    return sent if labels else [_unlabelled(item) for item in sent]


def _unlabelled(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in LABELS}


def _without_lone_reasoning(items: list[Item]) -> list[Item]:
    """Drop reasoning that a user's message follows at once: OpenAI's API refuses a conversation with it."""
    kept: list[Item] = []
    asked = False  # whether the item after it is a message that is not the model's
    for item in reversed(items):
        if kind(item) != "reasoning" or not asked:
            kept.append(item)
            asked = kind(item) == "message" and item.get("role") != "assistant"
    return kept[::-1]


def _since_compaction(items: list[Item], origin: str | None) -> list[Item]:
    """Return the items from the last readable compaction on, and earlier calls that are answered later."""
    found = [n for n, item in enumerate(items) if kind(item) == "compaction" and opened(item, origin)]
    last = found[-1] if found else 0
    outputs = outputs_by_call()
    later = {item.get("call_id") for item in items[last:]}
    calls = [item for item in items[:last] if kind(item) in outputs and item.get("call_id") in later]
    return [*calls, *items[last:]]


def _translate(
    item: Item, offered: Offered, origin: str | None, maker: str | None
) -> Iterator[dict[str, Any]]:
    made = made_upstream(item)
    if made is not None:
        yield as_made(item) if made.get("origin") == maker else _without_mark(item)
        return
    match kind(item):
        case "message":
            yield _message(item)
        case "reasoning" | "compaction":
            yield from _encrypted(item, origin)
        case other if other in (CUSTOM_CALL, CUSTOM_OUTPUT) and not offered.as_functions(other):
            yield {name: value for name, value in item.items() if name != "id"}
        case other if (tool := catalogue().of_item(other)) is not None:
            yield _of_tool(item, offered)
            if other == tool.output_type and offered.is_native(tool) and (note := tool.native_note(item)):
                content = [{"type": "input_text", "text": note}]
                yield {"type": "message", "role": "developer", "content": content}
        case _ if is_passed(item):
            yield _without_mark(item)
        case other:
            log.debug("an item of type %r is not sent to the upstream", other)


def _without_mark(item: Item) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "agent_kernel"}


def _of_tool(item: Item, offered: Offered) -> dict[str, Any]:
    """Translate a tool's call or output into its native form, or into that of a function."""
    call_id = item.get("call_id")
    tool = catalogue().of_call(kind(item))
    if tool is not None:
        if offered.is_native(tool):
            return dict(tool.native_call(item))
        own = offered.call_name(tool, item)
        name = str(item.get("name")) if kind(item) == CUSTOM_CALL else own
        arguments = tool.arguments_text(item)
        return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
    tool = catalogue().of_output(kind(item))
    assert tool is not None  # noqa: S101 (it is one or the other)
    if offered.is_native(tool):
        return dict(tool.native_output(item))
    text, others = tool.result(item), tool.parts(item)
    output = [{"type": "input_text", "text": text}, *others] if others else text
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def _message(item: Item) -> dict[str, Any]:
    content = item.get("content")
    if item.get("role") == "assistant":
        # Annotations name files in containers that the upstream does not have.
        content = [{"type": "output_text", "text": text_of(content)}]
        if item.get("phase"):
            return {"type": "message", "role": "assistant", "content": content, "phase": item["phase"]}
    return {"type": "message", "role": item.get("role"), "content": content}


def _encrypted(item: Item, origin: str | None) -> Iterator[dict[str, Any]]:
    found = opened(item, origin)
    if found is None:
        return
    if kind(item) == "reasoning":
        found = {"id": item.get("id"), "summary": item.get("summary") or [], **found}
    yield {"type": kind(item), **found}


def opened(item: Item, origin: str | None) -> dict[str, Any] | None:
    """Return the encrypted content and its id, or None if there is none or another model wrote it."""
    opaque = item.get("encrypted_content")
    if not isinstance(opaque, str) or not opaque or origin is None:
        return None
    try:
        mark, item_id, whose, blob = json.loads(opaque)
    except (ValueError, TypeError, RecursionError):
        return {"encrypted_content": opaque}  # not in our envelope: it came from the client
    if mark != _ENVELOPE:
        return {"encrypted_content": opaque}
    return {"id": item_id, "encrypted_content": blob} if whose == origin else None
