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
    """Tokens of one model call, and what else its server counts.

    `service_tier` is how it was served, `drawn` the `image_gen` and `searches` the `num_requests` of the
    server's `tool_usage`; None: it does not say.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    service_tier: str | None = None
    drawn: Mapping[str, Any] | None = None
    searches: int | None = None


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


UPSTREAM = "upstream"
"""The field of an item's `agent_kernel` that says which upstream made it, and under which id."""


def made_upstream(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the mark of an item that an upstream made with a tool of its own, or None.

    It has the upstream as `origin`, the upstream's `id` for the item, and the names of fields that were
    `added`.
    """
    ours = item.get("agent_kernel")
    found = ours.get(UPSTREAM) if isinstance(ours, Mapping) else None
    return found if isinstance(found, Mapping) else None


def as_made(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item as its upstream made it: under its own id, without our mark and what we added."""
    made = made_upstream(item) or {}
    without = ("agent_kernel", *(made.get("added") or ()))
    fields = {name: value for name, value in item.items() if name not in without}
    return {**fields, "id": made["id"]} if isinstance(made.get("id"), str) else fields
