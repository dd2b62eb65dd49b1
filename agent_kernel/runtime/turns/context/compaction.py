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

from agent_kernel.errors import ContextLengthExceeded, OutOfScript
from agent_kernel.models.base import Compacts, Model, ModelRequest
from agent_kernel.models.earlier import Continued
from agent_kernel.protocol import ids
from agent_kernel.protocol.deltas import TextDelta, Usage, made_upstream
from agent_kernel.runtime.approvals.items import REQUEST, in_order
from agent_kernel.runtime.turns.context.estimate import CHARACTERS, estimate, type_of
from agent_kernel.runtime.turns.context.settled import Settled
from agent_kernel.runtime.turns.context.shortening import SUMMARY, cut, shorten
from agent_kernel.runtime.turns.input_items import message, output_of
from agent_kernel.tools.one_item import expanded, transcript_of
from agent_kernel.tools.outside import FIELD, sources_outside

Json = Mapping[str, Any]

COMPACTION = "compaction"
OFFERS = frozenset(("mcp_list_tools", "additional_tools"))
"""Types of items that say which tools there are."""
_PREFIX = "ak1."
_DIGEST = 8000
"""Characters of a transcript that is used instead of a summary."""
_LONGEST = 65_536
"""Characters of a summary. The model is stopped when it writes more."""
_LONGEST_ANSWER = 4 * _LONGEST
"""Characters of a summary with the reasoning before it."""
_REQUESTS = 4
"""Requests for one summary, each smaller than the one before, which did not fit."""
_FOR_ASKING = 100
"""Estimated tokens of `_ASK`."""

_ASK = (
    "Write a summary of this conversation for yourself: you will go on with it alone. Keep every fact,"
    " decision, name, number and file path that matters, what was done and with what result, and what"
    " is still to be done. Answer with the summary only."
)


def for_model(items: Sequence[Json], settled: Settled | None = None) -> Sequence[Json]:
    """Return the conversation as the model receives it. A call that holds its output becomes two items.

    `settled` is the beginning of the items that has this form already.
    """
    later = items[settled.length :] if settled is not None and settled.length else ()
    if settled is None or not later or COMPACTION in map(type_of, later):
        return expanded(_current(items), all_of_them=False)
    return Continued(settled.earlier, expanded(_current(later), all_of_them=False))


def _current(items: Sequence[Json]) -> Sequence[Json]:
    kinds = set(map(type_of, items))
    if REQUEST in kinds:
        items = in_order(items)
    if not kinds.isdisjoint(OFFERS):  # models get their tools as functions
        items = [item for item in items if item.get("type") not in OFFERS or made_upstream(item)]
    if COMPACTION not in kinds:
        return items
    places = [place for place, item in enumerate(items) if item.get("type") == COMPACTION]
    last = next((place for place in reversed(places) if _summary(items[place])), None)
    if last is None:
        return items
    outputs = frozenset(output_of().values())
    later = {item.get("call_id") for item in items[last:] if item.get("type") in outputs}
    kept = [item for item in items[:last] if _is_kept(item, later)]
    told = message("developer", f"{SUMMARY}{_summary(items[last])}")
    return [*kept, told, *items[last + 1 :]]


def _is_kept(item: Json, answered_later: set[Any]) -> bool:
    if item.get("type") == "message":
        return item.get("role") != "assistant"
    return item.get("type") in output_of() and item.get("call_id") in answered_later


def is_summary(item: Json) -> bool:
    """Return whether a compaction is a summary made here, and not one of an upstream."""
    return _summary(item) is not None


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


async def compacted(
    model: Model, upstream_name: str, items: Sequence[Json], room: int | None = None
) -> tuple[Json, Usage]:
    """Make a compaction item to replace the conversation, and count its tokens.

    The upstream compacts if it can; otherwise the model writes a summary. `room` is the most estimated tokens
    that its request may have, None if that is not known. A request that does not fit the context window is
    repeated with less. If none fits, or the model is a scripted one, the item holds the transcript, shortened
    in the middle. Raises what the model raises, but not `ContextLengthExceeded`. Cancelling ends the request.
    """
    told = for_model(items)
    for _ in range(_REQUESTS):
        asked = told if room is None else _fitting(told, room)
        try:
            item, usage = await _compacted(model, ModelRequest(model=upstream_name, input=asked), room)
            return told_from(items, item), usage
        except ContextLengthExceeded as error:
            room = _smaller(estimate(asked), error)
        except OutOfScript:
            break
    return told_from(items, _summary_item(_digest(told, _longest(room)))), Usage(0, 0)


def told_from(items: Sequence[Json], item: Json) -> Json:
    """Return a compaction of these items that says whether they read text from outside."""
    return {**item, "agent_kernel": {FIELD: any(True for _ in sources_outside(items))}}


async def _compacted(model: Model, request: ModelRequest, room: int | None) -> tuple[Json, Usage]:
    own = await model.compact(request) if isinstance(model, Compacts) else None
    if own is not None:
        compaction, usage = own
        return compaction_item(compaction.encrypted_content), usage
    texts, length, usage = [], 0, Usage(0, 0)
    asked = [*request.input, message("user", _ASK)]
    asking = replace(request, input=asked, max_characters=_LONGEST_ANSWER)
    async with aclosing(model.stream(asking)) as deltas:
        async for delta in deltas:
            if isinstance(delta, TextDelta):
                texts.append(delta.text)
                length += len(delta.text)
            elif isinstance(delta, Usage):
                usage = delta
            if length > _LONGEST:
                break
    summary = cut("".join(texts).strip(), _longest(room, _LONGEST))
    return _summary_item(summary or _digest(request.input, _longest(room))), usage


def _fitting(told: Sequence[Json], room: int) -> Sequence[Json]:
    """Return the conversation shortened to about `room` estimated tokens, if need be as one transcript."""
    room = max(_FOR_ASKING, room - _FOR_ASKING)
    if estimate(told) <= room:
        return told
    shortened = shorten(told, room, messages=True)
    if estimate(shortened) <= room:
        return shortened
    return [message("user", f"This is the conversation:\n\n{_digest(told, room * CHARACTERS)}")]


def _smaller(size: int, error: ContextLengthExceeded) -> int:
    """Return the room for the next request, after one of `size` estimated tokens did not fit."""
    if error.window is None or error.tokens is None:
        return size // 4
    return min(size // 2, size * error.window * 3 // (error.tokens * 4))


def _longest(room: int | None, longest: int = _DIGEST) -> int:
    """Return the characters of a summary: at most a third of the room."""
    return longest if room is None else min(longest, room * CHARACTERS // 3)


def _summary_item(summary: str) -> Json:
    return compaction_item(_PREFIX + base64.b64encode(json.dumps(summary).encode()).decode())


def compaction_item(content: str) -> Json:
    """Return the item in the standard's format."""
    return {"id": ids.item_id("compaction"), "type": "compaction", "encrypted_content": content}


def _digest(items: Sequence[Json], limit: int) -> str:
    text = "\n".join(line for item in items for line in _lines(item))
    if len(text) <= limit:
        return text
    return f"{text[: limit // 2]}\n[...]\n{text[len(text) - limit // 2 :]}"


def _lines(item: Json) -> Iterator[str]:
    match item.get("type"):
        case "message":
            content = item["content"]
            parts = [content] if isinstance(content, str) else [part.get("text") or "" for part in content]
            yield f"{item['role']}: {' '.join(parts)}"
        case _:
            yield from transcript_of(item)
