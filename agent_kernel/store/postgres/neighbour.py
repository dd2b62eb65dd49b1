"""Each process of a store watches one other, its neighbour in the order of their ids.

It waits for the neighbour's advisory lock, which is an event of the database and no poll. So the death of any
process is noticed at once, with one connection per process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import psycopg

from agent_kernel.store.postgres.connecting import LOST, DatabaseAddress
from agent_kernel.store.postgres.line import AGAIN, LOCK

log = logging.getLogger(__name__)


class Neighbour:
    """Watches the neighbour of `owner`. `died` is called with the id of one that has ended."""

    def __init__(
        self,
        address: DatabaseAddress,
        owner: str,
        next_of: Callable[[], Awaitable[str | None]],
        is_alive: Callable[[str], Awaitable[bool]],
        died: Callable[[str], Awaitable[None]],
    ) -> None:
        self._address = address
        self._owner = owner
        self._next = next_of
        self._is_alive = is_alive
        self._died = died
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(self._watch(), name="store-neighbour")

    def look_again(self) -> None:
        """Say that a process has come or gone."""
        self._changed.set()

    async def aclose(self) -> None:
        """Stop. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _watch(self) -> None:
        while True:
            self._changed.clear()
            try:
                other = await self._next()
                if other is None:
                    await self._changed.wait()
                elif await self._ended_before_a_change(other):
                    if await self._is_alive(other):  # its line has broken off, and it comes back
                        await asyncio.sleep(AGAIN)
                    else:
                        await self._died(other)
            except LOST as error:
                log.info("The neighbour could not be watched: %s", self._address.words(error))
                await asyncio.sleep(AGAIN)
            except Exception:
                log.exception("The neighbour could not be watched.")
                await asyncio.sleep(1)

    async def _ended_before_a_change(self, other: str) -> bool:
        """Wait until a process has released its lock, or until the processes are others than before."""
        connection = await self._address.connect_async()
        waiting = asyncio.create_task(_locked(connection, other))
        changing = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait({waiting, changing}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                waiting.result()
                return True
            return False
        finally:
            changing.cancel()
            waiting.cancel()  # psycopg cancels the statement at the server too
            try:
                await asyncio.gather(waiting, changing, return_exceptions=True)
            finally:  # a second cancellation may come here
                await connection.close()


async def _locked(connection: psycopg.AsyncConnection, other: str) -> None:
    await connection.execute(f"SELECT pg_advisory_xact_lock_shared({LOCK})".encode(), (other,))
