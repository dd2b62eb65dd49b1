"""Ends of turns that the store could not take when they came. They are written as soon as it can.

Otherwise such a turn would count as running until its process is started again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from agent_kernel.errors import ConfigurationError

log = logging.getLogger(__name__)

Write = Callable[[], Awaitable[None]]
"""Writes an end; it may be called again."""

AGAIN = 1.0
"""Seconds between two attempts while the store is away."""


class LateEnds:
    """The unwritten ends of one process, in their order. `written` is called after each."""

    def __init__(self, written: Callable[[], None] | None = None) -> None:
        self._written = written
        self._waiting: list[tuple[str, Write]] = []
        self._writing: asyncio.Task[None] | None = None

    def add(self, response_id: str, write: Write) -> None:
        """Write the end of a turn later. An error other than `ConfigurationError` is logged, and ends it."""
        self._waiting.append((response_id, write))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all(), name="late ends of turns")

    async def _write_all(self) -> None:
        while self._waiting:
            response_id, write = self._waiting[0]
            about = {"response_id": response_id}
            try:
                await write()
            except ConfigurationError:  # it is away still
                await asyncio.sleep(AGAIN)
                continue
            except Exception:
                log.exception("The end of turn %s is lost.", response_id, extra=about)
            else:
                log.warning("The end of turn %s is stored now.", response_id, extra=about)
                if self._written is not None:
                    self._written()
            del self._waiting[0]

    async def aclose(self) -> None:
        """Give up: the next process that uses the store ends these turns. Idempotent."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
