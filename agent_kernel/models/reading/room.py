"""The room that a request leaves for its answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from agent_kernel.models.base import MAX_STEP_TOKENS
from agent_kernel.protocol.deltas import ModelDelta


class ReadsEvents(Protocol):
    """The reader of one answer in a dialect."""

    def characters(self, event: Any) -> int:
        """Return how much text an event adds."""
        ...

    def read(self, event: Any) -> Iterator[ModelDelta]:
        """Yield the deltas of an event."""
        ...

    def stop(self, reason: str) -> Iterator[ModelDelta]:
        """Yield what is still open, for an answer that is not read to its end."""
        ...


class Room:
    """Counts what an upstream writes against a limit in characters; None: no limit.

    It counts text when it is read, not when it becomes deltas: a reader holds calls back until they are
    complete, and drops events that it does not know. `is_full` is true once the reader was stopped.
    """

    def __init__(self, limit: int | None) -> None:
        self.is_full = False
        self._limit = limit
        self._written = 0
        self._empty = 0

    def read(self, reader: ReadsEvents, event: Any) -> Iterator[ModelDelta]:
        """Yield the deltas of an event, or stop the reader if the answer is too long."""
        self.is_full = not self._admits(reader.characters(event))
        yield from reader.stop(MAX_STEP_TOKENS) if self.is_full else reader.read(event)

    def _admits(self, characters: int) -> bool:
        """Count an event, and return whether it may be read.

        The event that exceeds the limit may be: an answer that ends with it is complete. Events without text
        are limited to the same number.
        """
        if self._limit is None:
            return True
        if characters == 0:
            self._empty += 1
            return self._empty <= self._limit
        was_full = self._written > self._limit
        self._written += characters
        return not was_full
