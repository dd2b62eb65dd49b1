"""The one method that a model has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent_kernel.protocol.deltas import ModelDelta

Item = Mapping[str, Any]
"""An input item as JSON, of the shapes in `openai.types.responses.ResponseInputItemParam`."""


@dataclass(frozen=True)
class ModelRequest:
    """One step of a turn: everything the model is told, already resolved from the chain.

    `input` is the whole conversation, oldest first, shell calls and their outputs as `shell_call` and
    `shell_call_output` items. `shell` says that the server runs commands for the model: a body offers it in
    the way that its upstream knows (the native tool, or a function tool of the same shape). `functions` are
    the client's own function tools (`FunctionToolParam`), handed through. `settings` are the request's other
    sampling fields (`temperature`, `top_p`, `max_output_tokens`, `reasoning`, `text`, `tool_choice`,
    `parallel_tool_calls`), present only where the client set them.
    """

    model: str
    input: Sequence[Item]
    instructions: str | None = None
    shell: bool = True
    functions: Sequence[Mapping[str, Any]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


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
