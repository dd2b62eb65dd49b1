"""The one method that a model has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from agent_kernel.protocol.deltas import Compaction, ModelDelta, Usage
from agent_kernel.tools.base import ToolEntry

Item = Mapping[str, Any]
"""An input item as JSON, of the shapes in `openai.types.responses.ResponseInputItemParam`."""


@dataclass(frozen=True)
class ModelRequest:
    """One step of a turn: everything the model is told, already resolved from the chain.

    `input` is the whole conversation, oldest first, tool calls and their outputs as items of their
    tools. `tools` are those that the model may call: a body offers each in the way that its upstream knows,
    in its native form or as a function (see `models.offered`). `settings` are the request's other
    sampling fields (`temperature`, `top_p`, `max_output_tokens`, `reasoning`, `text`, `tool_choice`,
    `parallel_tool_calls`), present only where the client set them. `encrypted_reasoning`: the client wants
    it, to send it back. `compact_threshold`: tokens of input above which a model that `Compacts` is to do so.
    """

    model: str
    input: Sequence[Item]
    instructions: str | None = None
    tools: Sequence[ToolEntry] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    encrypted_reasoning: bool = False
    compact_threshold: int | None = None


class Model(Protocol):
    """Something that says what to do next."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelDelta, None]:
        """Stream one step. It ends normally when the model has said all of it.

        What fails before the first delta may be tried again within; after it, never.

        Raises `UpstreamUnavailable`, `UpstreamRefused`, `UpstreamInterrupted`, `MalformedModelOutput`,
        `OutOfScript`. Cancelling or closing the generator ends the upstream's request.
        """
        ...

    async def aclose(self) -> None:
        """Close connections. Idempotent."""
        ...


@runtime_checkable
class Compacts(Protocol):
    """What a model may also have: its upstream's own way to make a long conversation short."""

    def compacts(self, model: str) -> bool:
        """Whether it heeds `ModelRequest.compact_threshold`, as far as is known, by saying `Compaction`."""
        ...

    async def compact(self, request: ModelRequest) -> tuple[Compaction, Usage] | None:
        """The conversation in short; None where the upstream has no means. Raises as `Model.stream` does."""
        ...
