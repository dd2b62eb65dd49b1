"""Automatic deletion of old responses, after a time that the operator sets, and of expired uploads."""

from __future__ import annotations

import logging
import time

from agent_kernel.each import each
from agent_kernel.runtime.containers.ending.expiry import ExpiryTimer
from agent_kernel.runtime.uploads.uploaded_files import Forget
from agent_kernel.store.blobs import Blobs
from agent_kernel.store.records import FileRow
from agent_kernel.store.rows import Rows

log = logging.getLogger(__name__)

LONGEST = 3600.0
"""Seconds until uploads are checked again: the shortest life that an upload may have."""


class Retention:
    """Deletes responses and uploads at the time that they expire.

    A response expires `seconds` after it was created; if a later turn continues it, it expires with that
    turn. None: responses never expire. Uploads expire by their own `expires_after`.
    """

    def __init__(self, rows: Rows, blobs: Blobs, seconds: float | None, forget: Forget | None = None) -> None:
        self._forget = forget
        self._rows = rows
        self._blobs = blobs
        self._seconds = seconds
        self._timer = ExpiryTimer(self._expire)

    def start(self) -> None:
        """Start the timer. Needs a running event loop."""
        self._timer.start()

    async def aclose(self) -> None:
        """Stop the timer. Idempotent."""
        await self._timer.aclose()

    async def _expire(self, now: float) -> float:
        soonest = now + LONGEST

        async def expire(row: FileRow) -> None:
            nonlocal soonest
            if row.expires_at is not None and row.expires_at <= now:
                await self._rows.delete_file(row.id)
                await self._blobs.delete(row.id)
                if self._forget is not None:
                    await self._forget(row.id)
            elif row.expires_at is not None:
                soonest = min(soonest, row.expires_at)

        await each(await self._rows.files(), expire)
        if self._seconds is None:
            return soonest
        count, oldest = await self._rows.expire_responses(now - self._seconds)
        if count:
            log.info("Deleted %d stored responses that were older than %.0f s.", count, self._seconds)
        made = time.time() if oldest is None else oldest
        return min(soonest, made + self._seconds)
