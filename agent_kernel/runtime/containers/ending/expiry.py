"""A timer that ends containers at the moment they expire."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context

from agent_kernel.errors import AgentKernelError

log = logging.getLogger(__name__)

RETRY = 60.0
"""Seconds until the next try when the engine does not answer."""


class ExpiryTimer:
    """Calls `expire(now)` at the moment that it returned last (Unix seconds; None: not before a refresh)."""

    def __init__(self, expire: Callable[[float], Awaitable[float | None]]) -> None:
        self._expire = expire
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the timer. Needs a running loop. Its log lines carry no context of the caller."""
        self._task = asyncio.create_task(self._run(), name="container-expiry", context=Context())

    def refresh(self) -> None:
        """Ask again for the next moment, because a container was made, ended or used."""
        self._changed.set()

    async def aclose(self) -> None:
        """Stop. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            try:
                soonest = await self._expire(time.time())
            except AgentKernelError as error:
                log.warning("Expired containers could not be removed now: %s", error)
                soonest = time.time() + RETRY
            except Exception:
                log.exception("The expiry failed; it runs again in %.0f s.", RETRY)
                soonest = time.time() + RETRY
            wait = None if soonest is None else max(soonest - time.time(), 0.0)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):  # wait_for would lose a cancellation here on Python 3.11
                    await self._changed.wait()
