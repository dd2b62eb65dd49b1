"""The interface of models, and the request for one step."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from agent_kernel.protocol.deltas import Compaction, ModelDelta, Usage
from agent_kernel.tools.base import ToolEntry

if TYPE_CHECKING:
    from agent_kernel.models.server_report import ServerReport

Item = Mapping[str, Any]
"""An input item as JSON, of the shapes in `openai.types.responses.ResponseInputItemParam`."""

PASSED_ON = (
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "client_metadata",
    "safety_identifier",
    "service_tier",
    "image",
)
"""Fields of a request that have no effect here. A Responses upstream gets them as they are."""


@dataclass(frozen=True)
class ModelRequest:
    """The request for one step of a turn, with the conversation resolved from the chain of responses.

    `input` is the whole conversation, oldest first; tool calls and outputs are items of their tools. `tools`
    are those that the model may call: each model offers them in the form that its upstream understands,
    native or as functions (see `models.offered`). `settings` holds the request's other sampling fields
    (`temperature`, `top_p`, `max_output_tokens`, `reasoning`, `text`, `tool_choice`, `parallel_tool_calls`)
    and those in `PASSED_ON`, only the ones that the client set. `encrypted_reasoning`: the client wants
    encrypted reasoning, to send it back later. `logprobs`: the client wants the log probabilities of the
    answer's tokens, and of `top_logprobs` alternatives (in `settings`). `compact_threshold`: tokens of input
    above which a model that `Compacts` should compact. `max_characters`: the answer's limit, None for no
    limit. A model behind an upstream stops reading when the upstream has written more, and yields
    `Truncated(MAX_STEP_TOKENS)`. Text that it holds back or drops counts too.
    """

    model: str
    input: Sequence[Item]
    instructions: str | None = None
    tools: Sequence[ToolEntry] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    encrypted_reasoning: bool = False
    logprobs: bool = False
    compact_threshold: int | None = None
    max_characters: int | None = None


MAX_STEP_TOKENS = "agent_kernel.max_step_tokens"
"""The reason of `Truncated` for an answer that was stopped at `max_characters`."""


class Model(Protocol):
    """A source of messages and tool calls, one step at a time."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelDelta, None]:
        """Stream one step. The stream ends when the model has finished the step.

        An implementation may retry until the first delta, and never after it.

        Raises `UpstreamUnavailable`, `UpstreamRefused`, `UpstreamInterrupted`, `MalformedModelOutput`,
        `OutOfScript`. Cancelling or closing the generator ends the upstream's request.
        """
        ...

    async def aclose(self) -> None:
        """Close connections. Idempotent."""
        ...


@runtime_checkable
class Compacts(Protocol):
    """Optional interface of a model: its upstream can compact a long conversation."""

    def compacts(self, model: str) -> bool:
        """Return whether the model, as far as is known, yields `Compaction` at the request's threshold."""
        ...

    async def compact(self, request: ModelRequest) -> tuple[Compaction, Usage] | None:
        """Return the compacted conversation, or None if the upstream cannot compact.

        Raises the same errors as `Model.stream`.
        """
        ...


@runtime_checkable
class HasWindow(Protocol):
    """Optional interface of a model: the size of its context window may be known."""

    def window(self, model: str) -> int | None:
        """Return the size in tokens, None if it is not known. Makes no request."""
        ...


@runtime_checkable
class ChecksInput(Protocol):
    """Optional interface of a model: its API may have no form for some parts of the input."""

    def check_input(self, items: Sequence[Item]) -> None:
        """Check a request's new input. Raises `InvalidRequest` with the part's place, before the turn.

        Parts of earlier turns are not refused: the model reads a line in their place.
        """
        ...


@runtime_checkable
class ChecksSettings(Protocol):
    """Optional interface of a model: its API may have no form for some settings of a request."""

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Check `ModelRequest.settings`. Raises `InvalidRequest`, before the turn."""
        ...


def check_request(model: Model, items: Sequence[Item], settings: Mapping[str, Any]) -> None:
    """Raise `InvalidRequest` for new input and settings that the model's API has no form for."""
    if isinstance(model, ChecksInput):
        model.check_input(items)
    if isinstance(model, ChecksSettings):
        model.check_settings(settings)


@runtime_checkable
class PassesItems(Protocol):
    """Optional interface of a model: its API may know items that this server does not."""

    def passes_items(self, model: str) -> bool:
        """Return whether items with the status `passed through` in `tools.coverage` are sent as they are.

        Any other model reads nothing of them.
        """
        ...


@runtime_checkable
class HasServer(Protocol):
    """Optional interface of a model: its server can be asked what it serves, without spending tokens."""

    async def server(self, model: str) -> ServerReport:
        """Ask the server about a model. Never raises for what it does; see `models.probing.probe.probe`."""
        ...
