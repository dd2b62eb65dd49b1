"""Compaction: replaces a long conversation by one item.

The item is the standard's `compaction`. If the upstream can make it, its content belongs to the upstream and
is sent back there. Otherwise the model writes a summary, which goes into the item's `encrypted_content`:
opaque to clients, but not secret from them. Later model calls receive the user's and developer's messages
from before the last summary, then the summary, then everything since.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from agent_kernel.errors import OutOfScript
from agent_kernel.models.base import Compacts, Model, ModelRequest
from agent_kernel.protocol import ids
from agent_kernel.protocol.deltas import TextDelta, Usage
from agent_kernel.runtime.approvals.items import REQUEST, in_order
from agent_kernel.runtime.turns.input_items import message, output_of
from agent_kernel.tools.catalogue import catalogue

Json = Mapping[str, Any]

COMPACTION = "compaction"
_PREFIX = "ak1."
CHARACTERS = 4
"""Characters in a token, on average, for English text and code in the usual vocabularies."""
_PER_ITEM = 4
"""Tokens that an item costs in addition to its text."""
_PER_IMAGE = 1000
_DIGEST = 8000
"""Characters of a transcript that is used instead of a summary."""

_ASK = (
    "Write a summary of this conversation for yourself: you will go on with it alone. Keep every fact,"
    " decision, name, number and file path that matters, what was done and with what result, and what"
    " is still to be done. Answer with the summary only."
)


def estimate(items: Sequence[Json]) -> int:
    """Estimate the tokens of input: a quarter of its characters, plus some per item and image."""
    return sum(_PER_ITEM + _characters(item) // CHARACTERS + _PER_IMAGE * _images(item) for item in items)


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_characters(each) for name, each in value.items() if name not in _NOT_TEXT)
    if isinstance(value, list | tuple):
        return sum(map(_characters, value))
    return 1


_NOT_TEXT = ("id", "type", "status", "call_id", "image_url", "file_data", "annotations", "logprobs")


def _images(item: Json) -> int:
    content = item.get("content")
    parts = content if isinstance(content, list) else []
    return sum(isinstance(part, Mapping) and part.get("type") == "input_image" for part in parts)


def for_model(items: Sequence[Json]) -> Sequence[Json]:
    """Return the conversation as the model receives it."""
    kinds = {item.get("type") for item in items}  # one pass: this runs in every step, over all items
    if REQUEST in kinds:
        items = in_order(items)
    if COMPACTION not in kinds:
        return items
    places = [place for place, item in enumerate(items) if item.get("type") == COMPACTION]
    last = next((place for place in reversed(places) if _summary(items[place])), None)
    if last is None:
        return items
    outputs = frozenset(output_of().values())
    later = {item.get("call_id") for item in items[last:] if item.get("type") in outputs}
    kept = [item for item in items[:last] if _is_kept(item, later)]
    told = message("developer", f"Summary of the conversation so far:\n\n{_summary(items[last])}")
    return [*kept, told, *items[last + 1 :]]


def _is_kept(item: Json, answered_later: set[Any]) -> bool:
    if item.get("type") == "message":
        return item.get("role") != "assistant"
    return item.get("type") in output_of() and item.get("call_id") in answered_later


def _summary(item: Json) -> str | None:
    content = item.get("encrypted_content")
    if item.get("type") != "compaction" or not isinstance(content, str) or not content.startswith(_PREFIX):
        return None
    try:
        summary = json.loads(base64.b64decode(content.removeprefix(_PREFIX), validate=True))
    except ValueError:
        return None
    return summary if isinstance(summary, str) else None


def compacts_itself(model: Model, upstream_name: str) -> bool:
    """Return whether the upstream compacts by itself when it is sent the threshold."""
    return isinstance(model, Compacts) and model.compacts(upstream_name)


async def compacted(model: Model, upstream_name: str, items: Sequence[Json]) -> tuple[Json, Usage]:
    """Make a compaction item to replace the conversation, and count its tokens.

    The upstream compacts if it can; otherwise the model writes a summary. A scripted model cannot write one:
    its item holds the transcript, shortened in the middle. Raises what the model raises. Cancelling ends the
    request.
    """
    told = for_model(items)
    request = ModelRequest(model=upstream_name, input=told)
    own = await model.compact(request) if isinstance(model, Compacts) else None
    if own is not None:
        compaction, usage = own
        return compaction_item(compaction.encrypted_content), usage
    request = replace(request, input=[*told, message("user", _ASK)])
    texts, usage = [], Usage(0, 0)
    try:
        async with aclosing(model.stream(request)) as deltas:
            async for delta in deltas:
                if isinstance(delta, TextDelta):
                    texts.append(delta.text)
                elif isinstance(delta, Usage):
                    usage = delta
    except OutOfScript:
        texts = []
    summary = "".join(texts).strip() or _digest(told)
    return compaction_item(_PREFIX + base64.b64encode(json.dumps(summary).encode()).decode()), usage


def compaction_item(content: str) -> Json:
    """Return the item in the standard's format."""
    return {"id": ids.item_id("compaction"), "type": "compaction", "encrypted_content": content}


def _digest(items: Sequence[Json]) -> str:
    text = "\n".join(line for item in items for line in _lines(item))
    if len(text) <= _DIGEST:
        return text
    return f"{text[: _DIGEST // 2]}\n[...]\n{text[-_DIGEST // 2 :]}"


def _lines(item: Json) -> Iterator[str]:
    match item.get("type"):
        case "message":
            content = item["content"]
            parts = [content] if isinstance(content, str) else [part.get("text") or "" for part in content]
            yield f"{item['role']}: {' '.join(parts)}"
        case str(kind) if (tool := catalogue().of_item(kind)) is not None:
            yield from tool.transcript(item)
