"""Drafts: output items while they are written. Each knows the events of its kind and their order.

A draft has an index and creates the item's id. It turns input into events; `close_parts` ends the open part,
and `done` the item. The `assembler` decides which draft is open.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from openai.types.responses import (
    ResponseOutputTextAnnotationAddedEvent,
    response_output_text,
    response_reasoning_item,
    response_reasoning_summary_part_added_event,
    response_reasoning_summary_part_done_event,
    response_text_delta_event,
    response_text_done_event,
)

from agent_kernel.protocol import ids
from agent_kernel.protocol import items as t
from agent_kernel.protocol.citations import Annotation, Citations

Final = Literal["completed", "incomplete"]
Json = Mapping[str, Any]
Events = list[t.ResponseStreamEvent]


class Draft(ABC):
    """An item that is open: `index` is its place in the output, `numbers` the stream's sequence numbers."""

    def __init__(self, index: int, numbers: Iterator[int]) -> None:
        self.index = index
        self.numbers = numbers

    @abstractmethod
    def item(self, status: t.ItemStatus) -> t.ResponseOutputItem:
        """Return the item in its current state, as a new object each time."""

    @abstractmethod
    def close_parts(self) -> Events:
        """End the part that is open inside the item, if any."""

    def added(self, status: t.ItemStatus = "in_progress") -> Events:
        """Return the event that adds the item."""
        return [
            t.ResponseOutputItemAddedEvent(
                type="response.output_item.added",
                output_index=self.index,
                sequence_number=next(self.numbers),
                item=self.item(status),
            )
        ]

    def done(self, item: t.ResponseOutputItem) -> Events:
        """Return the event that finishes the item."""
        return [
            t.ResponseOutputItemDoneEvent(
                type="response.output_item.done",
                output_index=self.index,
                sequence_number=next(self.numbers),
                item=item,
            )
        ]


def whole_item(index: int, item: t.ResponseOutputItem, numbers: Iterator[int]) -> Events:
    """Return the events of an item that is complete from the beginning."""
    added = t.ResponseOutputItemAddedEvent(
        type="response.output_item.added", output_index=index, sequence_number=next(numbers), item=item
    )
    done = t.ResponseOutputItemDoneEvent(
        type="response.output_item.done", output_index=index, sequence_number=next(numbers), item=item
    )
    return [added, done]


class ReasoningDraft(Draft):
    """A reasoning item: a summary of numbered paragraphs, and optional encrypted content."""

    def __init__(self, index: int, numbers: Iterator[int]) -> None:
        super().__init__(index, numbers)
        self.id = ids.reasoning_id()
        self.paragraphs: list[list[str]] = []
        self.part: int | None = None
        self.encrypted_content: str | None = None

    def item(self, status: t.ItemStatus) -> t.ResponseReasoningItem:
        """Return the item as it stands now."""
        summary = [
            response_reasoning_item.Summary(type="summary_text", text="".join(p)) for p in self.paragraphs
        ]
        item = t.ResponseReasoningItem(id=self.id, type="reasoning", summary=summary, status=status)
        if self.encrypted_content is not None:  # absent, not null: strict clients reject null here
            item.encrypted_content = self.encrypted_content
        return item

    def write(self, text: str, part: int) -> Events:
        """Add to paragraph `part`; a new number begins a new paragraph."""
        events: Events = []
        if part != self.part:
            events += self.close_parts()
            self.part = part
            self.paragraphs.append([])
            events.append(
                t.ResponseReasoningSummaryPartAddedEvent(
                    type="response.reasoning_summary_part.added",
                    item_id=self.id,
                    output_index=self.index,
                    summary_index=len(self.paragraphs) - 1,
                    part=response_reasoning_summary_part_added_event.Part(type="summary_text", text=""),
                    sequence_number=next(self.numbers),
                )
            )
        self.paragraphs[-1].append(text)
        events.append(
            t.ResponseReasoningSummaryTextDeltaEvent(
                type="response.reasoning_summary_text.delta",
                item_id=self.id,
                output_index=self.index,
                summary_index=len(self.paragraphs) - 1,
                delta=text,
                sequence_number=next(self.numbers),
            )
        )
        return events

    def close_parts(self) -> Events:
        """End the open part."""
        if self.part is None:
            return []
        self.part = None
        text = "".join(self.paragraphs[-1])
        return [
            t.ResponseReasoningSummaryTextDoneEvent(
                type="response.reasoning_summary_text.done",
                item_id=self.id,
                output_index=self.index,
                summary_index=len(self.paragraphs) - 1,
                text=text,
                sequence_number=next(self.numbers),
            ),
            t.ResponseReasoningSummaryPartDoneEvent(
                type="response.reasoning_summary_part.done",
                item_id=self.id,
                output_index=self.index,
                summary_index=len(self.paragraphs) - 1,
                part=response_reasoning_summary_part_done_event.Part(type="summary_text", text=text),
                sequence_number=next(self.numbers),
            ),
        ]


class MessageDraft(Draft):
    """A message of the assistant: parts of text and refusal, in order of arrival."""

    def __init__(self, index: int, numbers: Iterator[int], citations: Citations) -> None:
        super().__init__(index, numbers)
        self.id = ids.message_id()
        self.citations = citations
        self.phase: str | None = None
        self.content: list[tuple[Literal["text", "refusal"], list[str]]] = []
        self.annotations: dict[int, list[Annotation]] = {}
        self.logprobs: list[list[Json]] = []
        self.open = False

    def item(self, status: t.ItemStatus) -> t.ResponseOutputMessage:
        """Return the item as it stands now."""
        item = t.ResponseOutputMessage(
            id=self.id,
            type="message",
            role="assistant",
            status=status,
            content=[
                _part(kind, "".join(pieces), self.annotations.get(index, []), self.logprobs[index])
                for index, (kind, pieces) in enumerate(self.content)
            ],
        )
        if self.phase is not None:  # absent, not null; newer upstreams may have newer words
            item = item.model_copy(update={"phase": self.phase})
        return item

    def write(self, kind: Literal["text", "refusal"], text: str, logprobs: Sequence[Json] = ()) -> Events:
        """Add to the open part, or begin one of this kind."""
        events: Events = []
        if not self.open or self.content[-1][0] != kind:
            events += self.close_parts()
            self.open = True
            self.content.append((kind, []))
            self.logprobs.append([])
            events.append(
                t.ResponseContentPartAddedEvent(
                    type="response.content_part.added",
                    item_id=self.id,
                    output_index=self.index,
                    content_index=len(self.content) - 1,
                    part=_part(kind, ""),
                    sequence_number=next(self.numbers),
                )
            )
        self.content[-1][1].append(text)
        if kind == "text":
            self.citations.write(text)
        self.logprobs[-1] += logprobs
        events.append(self._delta(kind, text, logprobs))
        return events

    def _delta(
        self, kind: Literal["text", "refusal"], text: str, logprobs: Sequence[Json]
    ) -> t.ResponseStreamEvent:
        if kind == "refusal":
            return t.ResponseRefusalDeltaEvent(
                type="response.refusal.delta",
                item_id=self.id,
                output_index=self.index,
                content_index=len(self.content) - 1,
                delta=text,
                sequence_number=next(self.numbers),
            )
        return t.ResponseTextDeltaEvent(
            type="response.output_text.delta",
            item_id=self.id,
            output_index=self.index,
            content_index=len(self.content) - 1,
            delta=text,
            logprobs=[response_text_delta_event.Logprob.construct(**each) for each in logprobs],
            sequence_number=next(self.numbers),
        )

    def _done(self, kind: Literal["text", "refusal"], text: str) -> t.ResponseStreamEvent:
        if kind == "refusal":
            return t.ResponseRefusalDoneEvent(
                type="response.refusal.done",
                item_id=self.id,
                output_index=self.index,
                content_index=len(self.content) - 1,
                refusal=text,
                sequence_number=next(self.numbers),
            )
        return t.ResponseTextDoneEvent(
            type="response.output_text.done",
            item_id=self.id,
            output_index=self.index,
            content_index=len(self.content) - 1,
            text=text,
            logprobs=[response_text_done_event.Logprob.construct(**each) for each in self.logprobs[-1]],
            sequence_number=next(self.numbers),
        )

    def close_parts(self) -> Events:
        """End the open part."""
        if not self.open:
            return []
        self.open = False
        kind, pieces = self.content[-1]
        text = "".join(pieces)
        cited = self.citations.annotations()
        self.annotations[len(self.content) - 1] = cited
        self.citations.close()
        return [
            *(self._cited(number, citation) for number, citation in enumerate(cited)),
            self._done(kind, text),
            t.ResponseContentPartDoneEvent(
                type="response.content_part.done",
                item_id=self.id,
                output_index=self.index,
                content_index=len(self.content) - 1,
                part=_part(kind, text, cited, self.logprobs[-1]),
                sequence_number=next(self.numbers),
            ),
        ]

    def _cited(self, number: int, citation: Annotation) -> t.ResponseStreamEvent:
        return ResponseOutputTextAnnotationAddedEvent.construct(
            type="response.output_text.annotation.added",
            item_id=self.id,
            output_index=self.index,
            content_index=len(self.content) - 1,
            annotation_index=number,
            annotation=citation,
            sequence_number=next(self.numbers),
        )


def _part(
    kind: Literal["text", "refusal"],
    text: str,
    cited: Sequence[Annotation] = (),
    logprobs: Sequence[Json] = (),
) -> t.ResponseOutputText | t.ResponseOutputRefusal:
    if kind == "refusal":
        return t.ResponseOutputRefusal(type="refusal", refusal=text)
    tokens = [response_output_text.Logprob.construct(**each) for each in logprobs]
    return t.ResponseOutputText(type="output_text", text=text, annotations=list(cited), logprobs=tokens)
