"""What a model says while it speaks, before it has ids, indices and sequence numbers.

A model body (`agent_kernel.models`) translates whatever its upstream streams into these; the assembler
turns them into Responses API events. Consecutive deltas of one kind belong to one output item; a delta of
another kind, `ItemBreak` or the end of the model's step closes it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of a reasoning *summary*; `part` counts the summary's paragraphs from 0."""

    text: str
    part: int = 0


@dataclass(frozen=True, slots=True)
class ReasoningOpaque:
    """The upstream's encrypted reasoning, belonging to the open (or else a new) reasoning item."""

    encrypted_content: str


@dataclass(frozen=True, slots=True)
class Compaction:
    """The upstream's own compaction of all that came before; it comes whole, between two items."""

    encrypted_content: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """A piece of a refusal."""

    text: str


@dataclass(frozen=True, slots=True)
class ShellCallDelta:
    """A piece of command number `command_index` of the shell call `call_id`."""

    call_id: str
    command_index: int
    text: str


@dataclass(frozen=True, slots=True)
class ShellCallDone:
    """The whole shell call. It may come without deltas before it; with them they must be its beginning.

    `timeout_ms` and `max_output_length` (characters) are None where the model did not set them.
    """

    call_id: str
    commands: tuple[str, ...]
    timeout_ms: int | None = None
    max_output_length: int | None = None


@dataclass(frozen=True, slots=True)
class FunctionCallDelta:
    """A piece of the JSON arguments of a call to a function tool of the *client's*."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ItemBreak:
    """The open item ends here even if the next delta is of the same kind."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Truncated:
    """The upstream stopped early: `max_output_tokens` or `content_filter`."""

    reason: str


ModelDelta = (
    ReasoningDelta
    | ReasoningOpaque
    | Compaction
    | TextDelta
    | RefusalDelta
    | ShellCallDelta
    | ShellCallDone
    | FunctionCallDelta
    | ItemBreak
    | Usage
    | Truncated
)
