"""Preparation of what sandboxes are made from, when the first one needs it.

All callers wait for one preparation. Cancelling a caller does not stop it: the next one finds it further on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context

from agent_kernel.runtime.progress import Listener, listener

log = logging.getLogger(__name__)

Prepare = Callable[[str, Callable[[str], None]], None]
"""Prepares the backend of a name. Blocks, for minutes; the second argument gets a sentence for each step.

Raises `EngineUnavailable`, `PreparationFailed`, `InvalidRequest`.
"""


class Readiness:
    """Prepares backends with `prepare`; None: they are prepared by other means. Use from one event loop."""

    def __init__(self, prepare: Prepare | None) -> None:
        self._prepare = prepare
        self._task: asyncio.Task[None] | None = None
        self._listeners: list[Listener] = []
        self._last = ""

    async def ensure(self, backend: str) -> bool:
        """Prepare a backend; return whether there is a way to. The caller's listener gets the progress.

        Raises what `Prepare` raises; the next call tries again.
        """
        if self._prepare is None:
            return False
        hearing = listener()
        if hearing is not None:
            self._listeners.append(hearing)
            if self._last:
                hearing(self._last)
        try:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._run(self._prepare, backend), context=Context())
            await asyncio.shield(self._task)
        finally:
            if hearing is not None:
                self._listeners.remove(hearing)
        return True

    async def _run(self, prepare: Prepare, backend: str) -> None:
        loop = asyncio.get_running_loop()

        def progress(text: str) -> None:
            loop.call_soon_threadsafe(self._told, text)

        log.info("Preparing %s sandboxes. This happens once and takes a few minutes.", backend)
        try:
            await asyncio.to_thread(prepare, backend, progress)
        finally:
            self._last = ""
        log.info("The %s sandboxes are prepared.", backend)

    def _told(self, text: str) -> None:
        self._last = text
        log.info("%s", text)
        for hearing in self._listeners:
            hearing(text)

    async def aclose(self) -> None:
        """Wait for a preparation that runs, because a thread cannot be stopped. Errors are logged."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task])
        if self._task is not None and self._task.done() and (error := self._task.exception()):
            log.warning("The preparation failed: %s", error)
