"""The fold of a stream of events into its response, which is the non-streaming answer."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable

from agent_kernel.errors import UpstreamInterrupted
from agent_kernel.protocol.items import (
    Response,
    ResponseCompletedEvent,
    ResponseErrorEvent,
    ResponseFailedEvent,
    ResponseIncompleteEvent,
    ResponseOutputItem,
    ResponseOutputItemDoneEvent,
    ResponseStreamEvent,
)


class Fold:
    """The fold in steps, for callers that also use the events: `add` each, then call `response`."""

    def __init__(self) -> None:
        self._last: Response | None = None
        self._items: dict[int, ResponseOutputItem] = {}
        self._error: str | None = None

    def add(self, event: ResponseStreamEvent) -> None:
        """Add one event. Events that a later, complete one repeats are ignored."""
        if isinstance(event, ResponseOutputItemDoneEvent):
            self._items[event.output_index] = event.item
        elif isinstance(event, ResponseCompletedEvent | ResponseIncompleteEvent | ResponseFailedEvent):
            self._last = event.response
        elif isinstance(event, ResponseErrorEvent):
            self._error = event.message

    def response(self) -> Response:
        """Return the response of the stream's last event.

        If it has no items, as with some servers, it gets those that were finished in the stream.
        Raises `UpstreamInterrupted` if the stream ended without `completed`, `incomplete` or `failed`.
        """
        if self._last is None:
            raise UpstreamInterrupted(
                f"The answer broke off: {self._error}"
                if self._error
                else "The answer broke off before its end: the stream had no closing event.",
                hint="Send it again. If that fails too, look into the server's log.",
            )
        if not self._last.output and self._items:
            output = [self._items[index] for index in sorted(self._items)]
            return self._last.model_copy(update={"output": output})
        return self._last


def fold(events: Iterable[ResponseStreamEvent]) -> Response:
    """Fold a whole stream. Raises `UpstreamInterrupted` if it has no closing event."""
    state = Fold()
    for event in events:
        state.add(event)
    return state.response()


async def afold(events: AsyncIterable[ResponseStreamEvent]) -> Response:
    """Fold a stream as it arrives. Raises the errors of `fold` and of the stream."""
    state = Fold()
    async for event in events:
        state.add(event)
    return state.response()
