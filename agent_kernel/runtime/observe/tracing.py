"""Where a turn is watched from: the seam for traces, and the watcher that watches nothing.

The other one, `runtime.telemetry`, needs the extra `otel`; nothing imports it unless it is asked for.
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
"""Takes how a call ended: its outcomes (see `Tool.outcomes`), and its result as text."""


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
        """Yield one call of the model."""
        ...

    def tool(self, tool: str, call_id: str, arguments: Json) -> AbstractContextManager[Ended]:
        """Watch a call of a tool while it runs. Tell the result how the call ended, if it ended."""
        ...

    def end(self, response: Response) -> None:
        """The turn has ended so."""
        ...


class Tracing(Protocol):
    """Watches turns."""

    def turn(self, tags: TurnTags) -> Trace:
        """Begin to watch a turn."""
        ...

    async def aclose(self) -> None:
        """Send what was not sent yet; it goes on watching."""
        ...


def _ignore(outcomes: Sequence[str], result: str) -> None:
    """Take nothing down."""


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

    def tool(self, tool: str, call_id: str, arguments: Json) -> AbstractContextManager[Ended]:
        """See `Trace`."""
        return nullcontext(_ignore)

    def end(self, response: Response) -> None:
        """See `Trace`."""

    async def aclose(self) -> None:
        """See `Tracing`."""


UNWATCHED = Unwatched()
