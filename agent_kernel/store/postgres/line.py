"""The connection by which the other processes of a store see and reach this one.

It holds an advisory lock, which PostgreSQL releases when the process ends in any way, and listens for
notifications. If it breaks off it is made again; who was taken for dead meanwhile is not let in again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import psycopg

from agent_kernel.store.postgres.connecting import LOST, DatabaseAddress
from agent_kernel.store.postgres.database import Membership

log = logging.getLogger(__name__)

ALL = "agent_kernel"
"""The channel that every process listens to; its own has its id after it."""

AGAIN = 0.2
"""Seconds between two attempts to connect."""

NOTE_RUN = "INSERT INTO runs (one, seen_at) VALUES (1, clock_timestamp()) ON CONFLICT DO NOTHING"
"""Notes when a run of PostgreSQL was first seen: an unlogged table is empty after a crash or failover."""

LOCK = "hashtextextended(%s, 0)"
"""The number of a process's lock."""


def channel_of(owner: str) -> str:
    """Return the channel of one process."""
    return f"{ALL}_{owner}"


class Line:
    """One process's connection. `heard` gets the words of each notification, `back` is called after a gap."""

    def __init__(
        self,
        address: DatabaseAddress,
        membership: Membership,
        heard: Callable[[str], None],
        back: Callable[[], None],
    ) -> None:
        self._address = address
        self._membership = membership
        self._heard = heard
        self._back = back
        self._connection: psycopg.AsyncConnection | None = None
        self._listening: asyncio.Task[None] | None = None

    async def open(self, owner: str) -> None:
        """Lock, listen, and become a member. Raises `ConfigurationError`."""
        try:
            self._connection = await self._begun(owner)
            await self._connection.execute(
                "INSERT INTO peers (id, serves, joined_at) VALUES (%s, false, clock_timestamp())", (owner,)
            )
        except LOST as error:
            raise self._address.unusable(error) from None
        self._membership.id = owner
        self._listening = asyncio.create_task(self._listen(owner), name="store-line")

    async def _begun(self, owner: str) -> psycopg.AsyncConnection:
        connection = await self._address.connect_async()
        try:
            for name in ("idle = 10", "interval = 5", "count = 3"):  # a host that is gone is noticed in 25 s
                await connection.execute(f"SET tcp_keepalives_{name}".encode())
            await connection.execute(f"SELECT pg_advisory_lock({LOCK})".encode(), (owner,))
            for channel in (ALL, channel_of(owner)):
                await connection.execute(f'LISTEN "{channel}"'.encode())
            await connection.execute(NOTE_RUN)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _listen(self, owner: str) -> None:
        while True:
            try:
                if self._connection is None:
                    self._connection = await self._begun(owner)
                    if not await self._is_let_in(self._connection, owner):
                        log.error(
                            "This process was taken for dead by the others of its store. Start it again."
                        )
                        return
                    self._back()
                async for notification in self._connection.notifies():
                    self._heard(notification.payload)
            except LOST as error:
                log.warning("The line to PostgreSQL broke off: %s", self._address.words(error))
            await self._hang_up()
            await asyncio.sleep(AGAIN)

    async def _is_let_in(self, connection: psycopg.AsyncConnection, owner: str) -> bool:
        cursor = await connection.execute(
            "UPDATE peers SET joined_at = clock_timestamp() WHERE id = %s", (owner,)
        )
        return cursor.rowcount == 1

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def aclose(self) -> None:
        """Hang up, which releases the lock. Idempotent."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            self._listening = None
        await self._hang_up()
