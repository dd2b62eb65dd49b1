"""The interface for tracing turns, and the implementation that records nothing.

The other implementation, `observe.telemetry`, needs the extra `otel` and is imported only when configured.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from openai.types.responses import Response

    from agent_kernel.models.base import ModelRequest
    from agent_kernel.protocol.deltas import ModelDelta

Json = Mapping[str, Any]

Ended = Callable[[Sequence[str], str], None]
"""Receives a call's outcomes (see `Tool.outcomes`) and its result as text."""


@dataclass(frozen=True)
class TurnTags:
    """The attributes of every span of a turn. `model` is the name in the response."""

    response_id: str
    model: str
    upstream_name: str
    container_id: str | None = None
    conversation_id: str | None = None


class Trace(Protocol):
    """The trace of one turn. Iterators that pass through it are not changed."""

    def chat(
        self, request: ModelRequest, source: AsyncGenerator[ModelDelta, None]
    ) -> AsyncGenerator[ModelDelta, None]:
        """Watch a call of the model: pass its events on unchanged."""
        ...

    def tool(self, tool: str, call_id: str, arguments: Json) -> AbstractContextManager[Ended]:
        """Watch a tool call while it runs. Pass its result to the yielded function, if it ends."""
        ...

    def end(self, response: Response) -> None:
        """Record the end of the turn."""
        ...


class Tracing(Protocol):
    """Makes a trace for each turn."""

    def turn(self, tags: TurnTags) -> Trace:
        """Begin to watch a turn."""
        ...

    async def aclose(self) -> None:
        """Send the spans that are still waiting. Tracing continues."""
        ...


def _ignore(outcomes: Sequence[str], result: str) -> None:
    """Record nothing."""


class Unwatched:
    """A tracing that records nothing, at no cost."""

    def turn(self, tags: TurnTags) -> Trace:
        """See `Tracing`."""
        return self

    def chat(
        self, request: ModelRequest, source: AsyncGenerator[ModelDelta, None]
    ) -> AsyncGenerator[ModelDelta, None]:
        """See `Trace`."""
        return source

    def tool(self, tool: str, call_id: str, arguments: Json) -> AbstractContextManager[Ended]:
        """See `Trace`."""
        return nullcontext(_ignore)

    def end(self, response: Response) -> None:
        """See `Trace`."""

    async def aclose(self) -> None:
        """See `Tracing`."""


UNWATCHED = Unwatched()
