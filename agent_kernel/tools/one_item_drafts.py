"""The drafts of items that hold a call and its output, and the events that such items have in common.

Events of a `kind` are `response.KIND.in_progress` when its item is added, `response.KIND.WORD` when the call
runs if `running` is a word, and `response.KIND.completed` before the item is done.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDraft, CallStart, OutputDraft
from agent_kernel.protocol.drafts import Events
from agent_kernel.protocol.items import ItemStatus, ResponseOutputItem, item_of
from agent_kernel.protocol.sse import own_event

Json = Mapping[str, Any]
T = TypeVar("T")


def event_about(kind: str, item_id: str, index: int, numbers: Iterator[int], **fields: Any) -> Any:
    """Return an event about an item."""
    place = {"item_id": item_id, "output_index": index, "sequence_number": next(numbers)}
    return own_event({"type": kind, **place, **fields})


class OneItemCallDraft(CallDraft):
    """The item while the model writes the call. No event carries a part, unless a subclass makes one."""

    kind: ClassVar[str]
    prefix: ClassVar[str]
    """The `type` of the item, and how its id begins."""

    def __init__(self, index: int, numbers: Iterator[int], start: CallStart) -> None:
        super().__init__(index, numbers, start)
        self.id = ids.item_id(self.kind, self.prefix)

    def about(self, kind: str, **fields: Any) -> Any:
        """Return an event about the item."""
        return event_about(kind, self.id, self.index, self.numbers, **fields)

    def added(self, status: ItemStatus = "in_progress") -> Events:
        """Return the event that adds the item, and the one that says that the call is in progress."""
        return [*super().added(status), self.about(f"response.{self.kind}.in_progress")]

    def part_delta(self, part: int, text: str) -> Events:
        return []

    def part_done(self, part: int, text: str) -> Events:
        return []


class OneItemOutputDraft(OutputDraft):
    """The item from when the call runs. `call` is the item as the call left it."""

    kind: ClassVar[str]
    running: ClassVar[str] = ""
    """The word of the event that says that the call runs; empty: there is no such event."""

    def __init__(self, index: int, numbers: Iterator[int], call: Json) -> None:
        super().__init__(index, numbers)
        self.call = call

    @abstractmethod
    def ended_as(self, item: ResponseOutputItem) -> str:
        """Return the word of the event before the last one, such as `completed`; empty: there is none."""

    def about(self, kind: str, **fields: Any) -> Any:
        """Return an event about the item."""
        return event_about(kind, self.call["id"], self.index, self.numbers, **fields)

    def begun(self) -> Events:
        return [self.about(f"response.{self.kind}.{self.running}")] if self.running else []

    def done(self, item: ResponseOutputItem) -> Events:
        """Return the event that finishes the item, after one that says how the call ended."""
        word = self.ended_as(item)
        ended = [self.about(f"response.{self.kind}.{word}")] if word else []
        return [*ended, *super().done(item)]


@dataclass(frozen=True)
class FailedCall:
    """The end of a call that led to nothing. `why` is a sentence for the model."""

    why: str


class FoundOutputDraft(OneItemOutputDraft, Generic[T]):
    """The item of a call that finds something. It accepts what was found, or `FailedCall`."""

    running = "searching"

    def __init__(self, index: int, numbers: Iterator[int], call: Json) -> None:
        super().__init__(index, numbers, call)
        self._found: T | FailedCall | None = None

    @abstractmethod
    def fields(self, found: T | None) -> Json:
        """Return the item's fields but its status. None: nothing is found yet."""

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        found = self._found
        if isinstance(found, FailedCall):
            final = "failed" if status == "completed" else status
            ours = {**(self.call.get("agent_kernel") or {}), "error": found.why}
            return item_of({**self.call, "results": None, "status": final, "agent_kernel": ours})
        return item_of({**self.fields(found), "status": status})

    def write(self, piece: T | FailedCall) -> Events:
        self._found = piece
        return []

    def close_unfinished(self, why: str) -> Events:
        if self._found is None:
            self._found = FailedCall(why)
        return []

    def ended_as(self, item: ResponseOutputItem) -> str:
        return "" if isinstance(self._found, FailedCall) else "completed"
