"""The contract between processes that share a store: which are alive, and how one reaches another's turns.

A turn's row names the process that runs it (`ResponseRow.owner`). Ownership itself changes in the rows
(`adopt_response`), where it is atomic.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Protocol


class LocalTurns(Protocol):
    """Running turns of this process, as other processes may follow, cancel and ask them."""

    def written(self, response_id: str) -> asyncio.Event | None:
        """Return an event that is set when the turn's journal grows next; None if it does not run here."""
        ...

    async def cancel(self, response_id: str) -> None:
        """Stop a turn and wait until it has ended. Does nothing if it does not run here."""
        ...

    async def ask(self, response_id: str, question: str) -> str:
        """Answer a question of another process about a turn. Both are JSON; it never raises."""
        ...


FindTurn = Callable[[str], LocalTurns | None]
"""Returns where a response's turn runs in this process, or None."""

UNREACHABLE = "Another process runs this response, and it cannot be reached."


Died = Callable[[], Awaitable[None]]
"""Called after another process has ended, in any way: its turns may be recovered."""


class Coordination(Protocol):
    """The current process among those that share a store. No method polls."""

    @property
    def id(self) -> str:
        """The id of this process as an owner of turns. It is never used again."""
        ...

    async def join(self) -> None:
        """Register as alive until `aclose`, or until the process ends in any way.

        Idempotent. Raises `OSError` or `ConfigurationError` if that cannot be recorded.
        """
        ...

    async def is_alive(self, owner: str) -> bool:
        """Return whether the process with this id has joined and not ended."""
        ...

    async def serve(self, find: FindTurn, died: Died | None = None) -> None:
        """Join, and let other processes follow and cancel the turns that `find` returns. Idempotent.

        `find` is called again each time a turn's journal has grown: it may run elsewhere in the process then.

        With `died` this process takes over the turns of others: it is called when one has ended, where that
        can be noticed.
        """
        ...

    async def has_successor(self) -> bool:
        """Return whether another process would notice the end of this one, and take over its turns."""
        ...

    def news(self, owner: str, response_id: str) -> AsyncGenerator[None, None]:
        """Yield once at first, then each time the journal of another process's turn has grown.

        Ends with the turn, or when its process has ended. Raises `InvalidRequest` if that process is known
        not to be reachable. Close the generator when done.
        """
        ...

    async def cancel(self, owner: str, response_id: str) -> None:
        """Cancel a turn of another process and wait until it has ended. Raises `InvalidRequest` as `news`."""
        ...

    async def ask(self, owner: str, response_id: str, question: str) -> str:
        """Put a question to another process's turn, and return the answer.

        Raises `InvalidRequest` as `news`, if the turn has ended, and if the process ends before it answers.
        """
        ...

    async def aclose(self) -> None:
        """Stop serving and unregister. Idempotent."""
        ...
