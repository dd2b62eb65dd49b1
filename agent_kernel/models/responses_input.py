"""A conversation as another server's Responses API takes it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from agent_kernel.models.base import Item
from agent_kernel.models.conversation import CALL_OUTPUTS, answered, kind, text_of
from agent_kernel.models.shell_function import arguments_of, result_of

log = logging.getLogger(__name__)

_ENVELOPE = "ak1"
_PASSED_ON = {"custom_tool_call", "custom_tool_call_output"}


def wrap(item_id: str, origin: str, encrypted_content: str) -> str:
    """Put an upstream's encrypted reasoning or compaction into an envelope with its id and origin.

    The blob is bound to the id that the upstream gave the item, and readable only to the model that wrote it;
    our item has another id, and a notebook may change the model between two turns.
    """
    return json.dumps([_ENVELOPE, item_id, origin, encrypted_content])


def translate(
    items: Sequence[Item], *, shell_function: str | None, origin: str | None
) -> list[dict[str, Any]]:
    """Write the items for an upstream that stores nothing and so must not see ids of ours.

    `shell_function` is the name of the function that stands for the shell tool, None where the upstream has
    the tool itself. `origin` says whose encrypted reasoning may be sent back; None: no reasoning at all.
    Items that no upstream can make sense of (approvals, references) are left out, and so is what comes before
    a compaction of the upstream's own.
    """
    told = _since_compaction(list(answered(items)), origin)
    return [out for item in told for out in _translate(item, shell_function, origin)]


def _since_compaction(items: list[Item], origin: str | None) -> list[Item]:
    """The last compaction that the upstream can read, and what follows; calls answered later stay."""
    found = [n for n, item in enumerate(items) if kind(item) == "compaction" and _opened(item, origin)]
    last = found[-1] if found else 0
    later = {item.get("call_id") for item in items[last:]}
    calls = [item for item in items[:last] if kind(item) in CALL_OUTPUTS and item.get("call_id") in later]
    return [*calls, *items[last:]]


def _translate(item: Item, shell_function: str | None, origin: str | None) -> Iterator[dict[str, Any]]:
    match kind(item):
        case "message":
            yield _message(item)
        case "reasoning" | "compaction":
            yield from _encrypted(item, origin)
        case "shell_call" if shell_function is None:
            fields = {name: item[name] for name in ("call_id", "action")}
            yield {"type": "shell_call", **fields, "status": "completed", "environment": {"type": "local"}}
        case "shell_call_output" if shell_function is None:
            yield _native_output(item)
        case "shell_call":
            call_id = item["call_id"]
            call = {"type": "function_call", "call_id": call_id, "name": shell_function}
            yield {**call, "arguments": arguments_of(item)}
        case "shell_call_output":
            call_id = item["call_id"]
            yield {"type": "function_call_output", "call_id": call_id, "output": result_of(item)}
        case "function_call":
            yield {"type": "function_call", **{n: item[n] for n in ("call_id", "name", "arguments")}}
        case "function_call_output":
            yield {"type": "function_call_output", **{n: item[n] for n in ("call_id", "output")}}
        case other if other in _PASSED_ON:
            yield {name: value for name, value in item.items() if name != "id"}
        case other:
            log.debug("an item of type %r is not sent to the upstream", other)


def _message(item: Item) -> dict[str, Any]:
    content = item.get("content")
    if item.get("role") == "assistant":
        # Annotations name files in containers that the upstream has never heard of.
        content = [{"type": "output_text", "text": text_of(content)}]
    return {"type": "message", "role": item.get("role"), "content": content}


def _encrypted(item: Item, origin: str | None) -> Iterator[dict[str, Any]]:
    opened = _opened(item, origin)
    if opened is None:
        return
    if kind(item) == "reasoning":
        opened = {"id": item.get("id"), "summary": item.get("summary") or [], **opened}
    yield {"type": kind(item), **opened}


def _opened(item: Item, origin: str | None) -> dict[str, Any] | None:
    """What the upstream encrypted, and the id it had there; None for nothing, or what is another's."""
    opaque = item.get("encrypted_content")
    if not isinstance(opaque, str) or not opaque or origin is None:
        return None
    try:
        mark, item_id, whose, blob = json.loads(opaque)
    except (ValueError, TypeError):
        return {"encrypted_content": opaque}  # not ours: a client brought its own
    if mark != _ENVELOPE:
        return {"encrypted_content": opaque}
    return {"id": item_id, "encrypted_content": blob} if whose == origin else None


def _native_output(item: Item) -> dict[str, Any]:
    names = ("stdout", "stderr", "outcome")
    output = [{name: content[name] for name in names} for content in item.get("output") or []]
    fields: dict[str, Any] = {"type": "shell_call_output", "call_id": item["call_id"], "output": output}
    if item.get("max_output_length") is not None:
        fields["max_output_length"] = item["max_output_length"]
    return fields
