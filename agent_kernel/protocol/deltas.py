"""Deltas: the pieces of a model's output, before they get ids, indices and sequence numbers.

A model (`agent_kernel.models`) translates what its upstream streams into these deltas, and the assembler
turns them into Responses API events. Consecutive deltas of one kind belong to one output item. A delta of
another kind, `ItemBreak` or the end of the model's step closes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_kernel.protocol.calls import CallDelta, CallDone, RejectedCall


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of a reasoning *summary*; `part` counts the summary's paragraphs from 0."""

    text: str
    part: int = 0


@dataclass(frozen=True, slots=True)
class ReasoningOpaque:
    """The upstream's encrypted reasoning. Belongs to the open reasoning item, or to a new one."""

    encrypted_content: str


@dataclass(frozen=True, slots=True)
class Compaction:
    """The upstream's compaction of the conversation so far. Arrives complete, between two items."""

    encrypted_content: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer's text, with the API's `logprobs` of its tokens if they were asked for."""

    text: str
    logprobs: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class AnnotationDelta:
    """A citation that the upstream made in the open text; places count from the beginning of that text."""

    annotation: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """A piece of a refusal."""

    text: str


@dataclass(frozen=True, slots=True)
class MessagePhase:
    """The upstream's `phase` of the open message, or of a new one: `commentary` or `final_answer`."""

    phase: str


@dataclass(frozen=True, slots=True)
class ItemBreak:
    """The end of the open item, even if the next delta is of the same kind."""


@dataclass(frozen=True, slots=True)
class UpstreamItem:
    """The beginning of an item that the upstream made itself, such as a search of its own.

    `key` names it in the deltas that follow. Several may be open at once, also while a message is written.
    """

    key: str
    item: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UpstreamEvent:
    """An event inside an `UpstreamItem`, as the upstream sent it."""

    key: str
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UpstreamItemDone:
    """The end of an `UpstreamItem`, with the whole item."""

    key: str
    item: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Truncated:
    """An early end of the answer; `reason` is `max_output_tokens` or `content_filter`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A line for the user about how the model or its upstream behaves. It is no part of the answer."""

    text: str


ModelDelta = (
    ReasoningDelta
    | ReasoningOpaque
    | Compaction
    | TextDelta
    | AnnotationDelta
    | RefusalDelta
    | MessagePhase
    | CallDelta
    | CallDone
    | RejectedCall
    | ItemBreak
    | UpstreamItem
    | UpstreamEvent
    | UpstreamItemDone
    | Usage
    | Truncated
    | Notice
)
