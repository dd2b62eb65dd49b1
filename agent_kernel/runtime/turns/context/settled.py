"""The settled part of a conversation: turns that are over, in which nothing is open.

The two thousandth turn of a chain must not cost more than the second. So what a turn needs of the items
before it is kept with them. An item is not settled if something later may change what the model gets of it:
a call without its output, or one that waited for an approval; a file, which may be deleted; an item that
offers tools; a compaction, which replaces what is before it. Such items, and all after them, are looked at in
each turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_kernel.models.conversation import is_passed
from agent_kernel.models.earlier import Earlier
from agent_kernel.protocol.calls import is_rejected
from agent_kernel.protocol.citations import CitedFile, CitedPage
from agent_kernel.protocol.deltas import made_upstream
from agent_kernel.runtime.turns.context.estimate import estimate
from agent_kernel.tools.additional import offers_tools
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.one_item import approval_of, expanded, one_item_of, sources_in

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Settled:
    """The first `length` items of a conversation.

    `earlier` has them as models get them, `sources` is what messages after them may cite.
    """

    length: int = 0
    earlier: Earlier = field(default_factory=Earlier)
    sources: tuple[CitedFile | CitedPage, ...] = ()

    def grown(self, items: Sequence[Json]) -> Settled:
        """Return the settled part of a conversation that begins with this one, after one more turn."""
        new = items[self.length :]
        if not _is_settled(new, self.earlier):
            return self
        told = expanded(new, all_of_them=False)
        return Settled(
            len(items), self.earlier.grown(told, estimate(told)), (*self.sources, *sources_in(new))
        )

    def is_named_in(self, items: Sequence[Json]) -> bool:
        """Return whether any of the items has the id of a call that is settled."""
        return any(
            self.earlier.has(item.get("call_id")) or self.earlier.has(item.get("id")) for item in items
        )


def _is_settled(items: Sequence[Json], earlier: Earlier) -> bool:
    """Return whether nothing in these items is open.

    The first one is not the model's, so that it is not joined with one before; the last one is no reasoning,
    which some upstreams refuse without what it led to.
    """
    if not items or items[0].get("type") != "message" or items[0].get("role") == "assistant":
        return False
    if items[-1].get("type") == "reasoning":
        return False
    seen: set[str] = set()
    waiting: set[tuple[str, str]] = set()
    return all(_is_closed(item, seen, waiting) for item in items) and not (
        waiting or any(map(earlier.has, seen))
    )


def _is_closed(item: Json, seen: set[str], waiting: set[tuple[str, str]]) -> bool:
    """Return whether an item may be settled. `seen` are ids of calls, `waiting` those without output."""
    kind = str(item.get("type"))
    if kind == "reasoning":
        return True
    if kind == "message":
        return not _has_files(item.get("content"))
    if is_rejected(item) or is_passed(item) or offers_tools(item) or made_upstream(item) is not None:
        return False
    if one_item_of(item) is not None:
        return approval_of(item) is None and _is_new(item.get("id"), seen)
    call_id = item.get("call_id")
    if (tool := catalogue().of_call(kind)) is not None and not tool.one_item and _is_new(call_id, seen):
        waiting.add((tool.output_type, str(call_id)))
        return True
    if (kind, call_id) in waiting and not _has_files(item.get("output")):
        waiting.discard((kind, str(call_id)))
        return True
    return False


def _is_new(key: object, seen: set[str]) -> bool:
    if not isinstance(key, str) or not key or key in seen:
        return False
    seen.add(key)
    return True


def _has_files(parts: object) -> bool:
    return isinstance(parts, list) and any(
        isinstance(part, Mapping) and part.get("file_id") for part in parts
    )
