"""The items that are open beside the one that the model writes, and the end of every item.

Some are made by the runtime (`open_item`). Others an upstream makes with tools of its own, such as a search:
their events pass through, under our ids, indices and numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from openai import BaseModel

from agent_kernel.protocol import ids
from agent_kernel.protocol import items as t
from agent_kernel.protocol.deltas import UpstreamEvent, UpstreamItem, UpstreamItemDone, made_upstream
from agent_kernel.protocol.drafts import Draft, Events, Final
from agent_kernel.protocol.states import Act, follow
from agent_kernel.protocol.step_calls import StepCalls

D = TypeVar("D", bound=Draft)
Json = Mapping[str, Any]


class PassedDraft(Draft):
    """An item of an upstream. Its `id` is new, with the prefix that the upstream's own has."""

    def __init__(self, index: int, numbers: Iterator[int], item: Json) -> None:
        super().__init__(index, numbers)
        self.id = ids.item_like(str(item["type"]), (made_upstream(item) or {}).get("id"))
        self._fixed = {name: item[name] for name in ("type", "call_id") if name in item} | {"id": self.id}
        self._item = {**item, **self._fixed}
        self._done = False

    def item(self, status: t.ItemStatus) -> t.ResponseOutputItem:
        """Return the item as it stands now. One that the upstream did not end becomes `incomplete`."""
        if self._done or status == "in_progress" or "status" not in self._item:
            return t.item_of(self._item)
        return t.item_of({**self._item, "status": "incomplete"})

    def replace(self, item: Json) -> None:
        """Take the whole item. Clients know an item by its type and ids, so these do not change."""
        self._item, self._done = {**item, **self._fixed}, True

    def passed(self, event: Json) -> Events:
        """Return an event of the upstream as one of this stream."""
        place = {"output_index": self.index, "item_id": self.id, "sequence_number": next(self.numbers)}
        # The package's union has no type for events that it does not know.
        made: Any = BaseModel.construct(**{**event, **place})
        return [made]

    def close_parts(self) -> Events:
        """Do nothing: the upstream ends its parts."""
        return []


class OpenItems(StepCalls):
    """The part of an assembler that has other items than the one that the model writes."""

    def __init__(self, response: t.Response) -> None:
        super().__init__(response)
        self._others: dict[int, Draft] = {}
        self._passed: dict[str, PassedDraft] = {}

    def open_item(self, make: Callable[[int, Iterator[int]], D]) -> tuple[D, Events]:
        """Begin an item that no model produces, between two steps. Several may be open at once."""
        follow(self._state, Act.OUTPUT)
        draft = make(next(self._indices), self._numbers)
        self._others[draft.index] = draft
        return draft, draft.added()

    def close_item(self, draft: Draft) -> Events:
        """Finish an item of `open_item`."""
        return self._ended(self._others.pop(draft.index), "completed")

    def _begin_passed(self, delta: UpstreamItem) -> Events:
        events = self._end_one(delta.key)  # an upstream that begins an item twice
        draft = PassedDraft(next(self._indices), self._numbers, delta.item)
        self._passed[delta.key] = draft
        return events + draft.added()

    def _pass(self, delta: UpstreamEvent | UpstreamItemDone) -> Events:
        """Return the events of a delta about an item that is open; none for any other item."""
        draft = self._passed.get(delta.key)
        if draft is None:
            return []
        if isinstance(delta, UpstreamEvent):
            return draft.passed(delta.event)
        draft.replace(delta.item)
        return self._end_one(delta.key)

    def _end_one(self, key: str) -> Events:
        draft = self._passed.pop(key, None)
        return [] if draft is None else self._ended(draft, "completed")

    def _end_passed(self) -> Events:
        """Finish the upstream's items that are still open, as incomplete."""
        return [event for key in list(self._passed) for event in self._end_one(key)]

    def _ended(self, draft: Draft, status: Final) -> Events:
        item = draft.item(status)
        self._keep(draft.index, item)
        return draft.done(item)

    def _keep(self, index: int, item: t.ResponseOutputItem) -> None:
        """Add a finished item to the response."""
        self._finished[index] = item
        self._update(output=[self._finished[each] for each in sorted(self._finished)])
