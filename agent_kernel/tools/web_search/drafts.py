"""The item of a call: its action, and what it led to. The events have the order of OpenAI's API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openai.types.responses import (
    ResponseWebSearchCallCompletedEvent,
    ResponseWebSearchCallInProgressEvent,
    ResponseWebSearchCallSearchingEvent,
)

from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDraft, CallStart, OutputDraft
from agent_kernel.protocol.drafts import Events
from agent_kernel.protocol.items import ItemStatus, ResponseOutputItem, item_of

Json = Mapping[str, Any]

CALL = "web_search_call"
PREFIX = "ws_"


@dataclass(frozen=True)
class WebResults:
    """What a call found: results with `url`, `title` and `text`, and `hidden` where text was left out."""

    results: Sequence[Json]


@dataclass(frozen=True)
class NotFetched:
    """The end of a call that led to nothing. `why` is a sentence for the model."""

    why: str


class WebCallDraft(CallDraft):
    """The item while the model writes the call: it has no action before that is complete."""

    def __init__(self, index: int, numbers: Iterator[int], start: CallStart) -> None:
        super().__init__(index, numbers, start)
        self.id = ids.item_id(CALL, PREFIX)
        self._complete = False

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        action = {"action": json.loads(self.texts()[0])} if self._complete else {}
        return item_of({"id": self.id, "type": CALL, "status": status, **action, **self.start.labels})

    def added(self, status: ItemStatus = "in_progress") -> Events:
        """Return the event that adds the item, and the one that says that the call is in progress."""
        event = ResponseWebSearchCallInProgressEvent(
            type="response.web_search_call.in_progress",
            item_id=self.id,
            output_index=self.index,
            sequence_number=0,
        )
        events = super().added(status)
        return [*events, event.model_copy(update={"sequence_number": next(self.numbers)})]

    def part_delta(self, part: int, text: str) -> Events:
        return []

    def part_done(self, part: int, text: str) -> Events:
        self._complete = True
        return []


class WebOutputDraft(OutputDraft):
    """The item from when the call runs. It accepts one `WebResults` or `NotFetched`."""

    def __init__(self, index: int, numbers: Iterator[int], call: Json) -> None:
        super().__init__(index, numbers)
        self._call = call
        self._found: WebResults | NotFetched | None = None

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        found = self._found
        if isinstance(found, NotFetched):
            final = "failed" if status == "completed" else status
            ours = {**(self._call.get("agent_kernel") or {}), "error": found.why}
            return item_of({**self._call, "results": None, "status": final, "agent_kernel": ours})
        results = None if found is None else [dict(each) for each in found.results]
        return item_of({**with_sources(self._call, results), "results": results, "status": status})

    def begun(self) -> Events:
        return [
            ResponseWebSearchCallSearchingEvent(
                type="response.web_search_call.searching",
                item_id=self._call["id"],
                output_index=self.index,
                sequence_number=next(self.numbers),
            )
        ]

    def write(self, piece: WebResults | NotFetched) -> Events:
        self._found = piece
        return []

    def close_unfinished(self, why: str) -> Events:
        if self._found is None:
            self._found = NotFetched(why)
        return []

    def done(self, item: ResponseOutputItem) -> Events:
        """Return the event that finishes the item, after one that says that the call is completed."""
        if isinstance(self._found, NotFetched):
            return super().done(item)
        event = ResponseWebSearchCallCompletedEvent(
            type="response.web_search_call.completed",
            item_id=self._call["id"],
            output_index=self.index,
            sequence_number=next(self.numbers),
        )
        return [event, *super().done(item)]


def with_sources(call: Json, results: Sequence[Json] | None) -> Json:
    """Return a call with the addresses that its search found."""
    action = call.get("action")
    if results is None or not isinstance(action, Mapping) or action.get("type") != "search":
        return call
    sources = [{"type": "url", "url": each["url"]} for each in results]
    return {**call, "action": {**action, "sources": sources}}
