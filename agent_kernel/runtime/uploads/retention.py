"""What is deleted by itself: stored responses after a time that the operator sets, uploads that are over."""

from __future__ import annotations

import asyncio
import logging
import time

from agent_kernel.runtime.containers.expiry import ExpiryTimer
from agent_kernel.runtime.each import each
from agent_kernel.store.base import FileRow, Store

log = logging.getLogger(__name__)

FOLDER = "files"
"""Below the store's own: where `uploaded_files` keeps them."""

LONGEST = 3600.0
"""Seconds until uploads are looked at again: the shortest life that an upload may be given."""


class Retention:
    """Deletes what is over, when it is.

    A response goes `seconds` after it was made, unless a later turn continues it: then it goes with that one.
    None: responses stay until they are deleted. Uploads go by their own `expires_after`.
    """

    def __init__(self, store: Store, seconds: float | None) -> None:
        self._store = store
        self._uploads = store.folder / FOLDER
        self._seconds = seconds
        self._timer = ExpiryTimer(self._expire)

    def start(self) -> None:
        """Begin. Needs a running loop."""
        self._timer.start()

    async def aclose(self) -> None:
        """Stop. Idempotent."""
        await self._timer.aclose()

    async def _expire(self, now: float) -> float:
        soonest = now + LONGEST

        async def expire(row: FileRow) -> None:
            nonlocal soonest
            if row.expires_at is not None and row.expires_at <= now:
                await self._store.delete_file(row.id)
                await asyncio.to_thread((self._uploads / row.id).unlink, missing_ok=True)
            elif row.expires_at is not None:
                soonest = min(soonest, row.expires_at)

        await each(await self._store.files(), expire)
        if self._seconds is None:
            return soonest
        count, oldest = await self._store.expire_responses(now - self._seconds)
        if count:
            log.info(
                "Deleted %d stored responses: they were made more than %.0f s ago.", count, self._seconds
            )
        made = time.time() if oldest is None else oldest
        return min(soonest, made + self._seconds)
