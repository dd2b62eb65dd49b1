"""Where a turn is watched from: the seam for traces, and the watcher that watches nothing.

The other one, `runtime.telemetry`, needs the extra `otel`; nothing imports it unless it is asked for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from openai.types.responses import Response, ResponseFunctionShellToolCall

    from agent_kernel.models.base import ModelRequest
    from agent_kernel.protocol.deltas import ModelDelta

P = TypeVar("P")


@dataclass(frozen=True)
class TurnTags:
    """What every span of a turn says of it. `model` is the name as the response has it."""

    response_id: str
    model: str
    upstream_name: str
    container_id: str | None = None
    conversation_id: str | None = None


class Trace(Protocol):
    """One turn as it is watched. What is handed through comes out as it went in."""

    def chat(
        self, request: ModelRequest, source: AsyncGenerator[ModelDelta, None]
    ) -> AsyncGenerator[ModelDelta, None]:
        """One call of the model."""
        ...

    def tool(
        self, call: ResponseFunctionShellToolCall, source: AsyncGenerator[P, None]
    ) -> AsyncGenerator[P, None]:
        """One shell call that is carried out."""
        ...

    def end(self, response: Response) -> None:
        """The turn has ended so."""
        ...


class Tracing(Protocol):
    """Watches turns."""

    def turn(self, tags: TurnTags) -> Trace:
        """A turn begins."""
        ...

    async def aclose(self) -> None:
        """Send what was not sent yet; it goes on watching."""
        ...


class Unwatched:
    """Watches nothing, at no cost."""

    def turn(self, tags: TurnTags) -> Trace:
        """See `Tracing`."""
        return self

    def chat(
        self, request: ModelRequest, source: AsyncGenerator[ModelDelta, None]
    ) -> AsyncGenerator[ModelDelta, None]:
        """See `Trace`."""
        return source

    def tool(
        self, call: ResponseFunctionShellToolCall, source: AsyncGenerator[P, None]
    ) -> AsyncGenerator[P, None]:
        """See `Trace`."""
        return source

    def end(self, response: Response) -> None:
        """See `Trace`."""

    async def aclose(self) -> None:
        """See `Tracing`."""


UNWATCHED = Unwatched()
