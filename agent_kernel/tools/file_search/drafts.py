"""The item of a call: first its queries, then its results. The events have the order of OpenAI's API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openai.types.responses import (
    ResponseFileSearchCallCompletedEvent,
    ResponseFileSearchCallInProgressEvent,
    ResponseFileSearchCallSearchingEvent,
)

from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDraft, CallStart, OutputDraft
from agent_kernel.protocol.drafts import Events
from agent_kernel.protocol.items import ItemStatus, ResponseOutputItem, item_of
from agent_kernel.tools.document_search.search import Passage

Json = Mapping[str, Any]

CALL = "file_search_call"
PREFIX = "fs_"


@dataclass(frozen=True)
class NotSearched:
    """The end of a call that found nothing because it did not search. `why` is a sentence for the model."""

    why: str


class SearchCallDraft(CallDraft):
    """The item while the model writes the queries: each is a part, and no event carries them."""

    def __init__(self, index: int, numbers: Iterator[int], start: CallStart) -> None:
        super().__init__(index, numbers, start)
        self.id = ids.item_id(CALL, PREFIX)

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        return item_of(
            {
                "id": self.id,
                "type": CALL,
                "status": status,
                "queries": self.texts(),
                "results": None,
                **self.start.labels,
            }
        )

    def added(self, status: ItemStatus = "in_progress") -> Events:
        """Return the event that adds the item, and the one that says that the call is in progress."""
        events = super().added(status)
        event = ResponseFileSearchCallInProgressEvent(
            type="response.file_search_call.in_progress",
            item_id=self.id,
            output_index=self.index,
            sequence_number=next(self.numbers),
        )
        return [*events, event]

    def part_delta(self, part: int, text: str) -> Events:
        return []

    def part_done(self, part: int, text: str) -> Events:
        return []


class SearchOutputDraft(OutputDraft):
    """The item from when the search runs. It accepts a list of `Passage`, or `NotSearched`."""

    def __init__(self, index: int, numbers: Iterator[int], call: Json) -> None:
        super().__init__(index, numbers)
        self._call = call
        self._found: Sequence[Passage] | NotSearched | None = None

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        found = self._found
        if isinstance(found, NotSearched):
            final = "failed" if status == "completed" else status
            ours = {**(self._call.get("agent_kernel") or {}), "error": found.why}
            return item_of({**self._call, "results": None, "status": final, "agent_kernel": ours})
        results = None if found is None else [result_of(each) for each in found]
        return item_of({**self._call, "results": results, "status": status})

    def begun(self) -> Events:
        return [
            ResponseFileSearchCallSearchingEvent(
                type="response.file_search_call.searching",
                item_id=self._call["id"],
                output_index=self.index,
                sequence_number=next(self.numbers),
            )
        ]

    def write(self, piece: Sequence[Passage] | NotSearched) -> Events:
        self._found = piece
        return []

    def close_unfinished(self, why: str) -> Events:
        if self._found is None:
            self._found = NotSearched(why)
        return []

    def done(self, item: ResponseOutputItem) -> Events:
        """Return the event that finishes the item, after one that says that the call is completed."""
        if isinstance(self._found, NotSearched):
            return super().done(item)
        event = ResponseFileSearchCallCompletedEvent(
            type="response.file_search_call.completed",
            item_id=self._call["id"],
            output_index=self.index,
            sequence_number=next(self.numbers),
        )
        return [event, *super().done(item)]


def result_of(found: Passage) -> Json:
    """Return a passage as the API's result."""
    return {
        "attributes": dict(found.attributes),
        "file_id": found.file_id,
        "filename": found.filename,
        "score": round(found.score, 4),
        "text": found.text,
        "vector_store_id": found.store_id,
    }
