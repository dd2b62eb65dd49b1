"""The table of the processes that share a store, and what they say to each other."""

from __future__ import annotations

import uuid

from agent_kernel.store.postgres.line import ALL, NOTE_RUN, channel_of
from agent_kernel.store.sql.database import Database, Transaction

RETURN = 60
"""Seconds after a restart of PostgreSQL within which a process whose lock it has lost is still alive."""

_HOLDS_LOCK = """
SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock' AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND ((classid::bigint << 32) | objid::bigint) = hashtextextended(?, 0)
"""

_COMES_BACK = """
SELECT joined_at < since AND clock_timestamp() < since + make_interval(secs => ?)
FROM peers, (SELECT greatest(pg_postmaster_start_time(), seen_at) AS since FROM runs) AS run WHERE id = ?
"""

_NEXT = "SELECT id FROM peers WHERE id <> ? ORDER BY id > ? DESC, id LIMIT 1"


class PeerTable:
    """The processes of a store, as its database knows them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_alive(self, owner: str) -> bool:
        """Return whether a process has joined and not ended. One that has ended is crossed out for good."""
        owner = owner.replace("\0", "")

        def work(db: Transaction) -> bool:
            db.execute(NOTE_RUN)
            found = db.execute(_COMES_BACK, (RETURN, owner)).fetchone()
            if found is None:
                return False
            if found[0] or db.execute(_HOLDS_LOCK, (owner,)).fetchone() is not None:
                return True
            db.execute("DELETE FROM peers WHERE id = ?", (owner,))
            return False

        return await self._database.do(work)

    async def next_of(self, owner: str) -> str | None:
        """Return the process whose id comes after this one; after the last comes the first."""
        row = await self._database.do(lambda db: db.execute(_NEXT, (owner, owner)).fetchone(), reads=True)
        return str(row[0]) if row is not None else None

    async def serves(self, owner: str) -> None:
        """Write down that a process would take over the turns of others."""
        await self._database.do(
            lambda db: db.execute("UPDATE peers SET serves = true WHERE id = ?", (owner,))
        )

    async def has_successor(self, owner: str) -> bool:
        """Return whether another process would take over turns of this one."""
        query = "SELECT id FROM peers WHERE serves AND id <> ?"
        rows = await self._database.do(lambda db: db.execute(query, (owner,)).fetchall(), reads=True)
        for (other,) in rows:
            if await self.is_alive(other):
                return True
        return False

    async def cross_out(self, owner: str) -> None:
        """Remove a process that ends."""
        await self._database.do(lambda db: db.execute("DELETE FROM peers WHERE id = ?", (owner,)))

    async def tell(self, owner: str, *words: str) -> None:
        """Send words to one process."""
        await self._notify(channel_of(owner), words)

    async def tell_all(self, *words: str) -> None:
        """Send words to all processes, this one too."""
        await self._notify(ALL, words)

    async def _notify(self, channel: str, words: tuple[str, ...]) -> None:
        values = (channel, " ".join(words))
        await self._database.do(lambda db: db.execute("SELECT pg_notify(?, ?)", values))

    async def send(self, body: str) -> str:
        """Put down a letter of any size, and return the id by which its reader gets it."""
        id_ = uuid.uuid4().hex
        old = "DELETE FROM letters WHERE sent_at < now() - interval '1 hour'"  # nobody came for them
        put = "INSERT INTO letters (id, body, sent_at) VALUES (?, ?, now())"
        await self._database.do(lambda db: (db.execute(old), db.execute(put, (id_, body))))
        return id_

    async def fetch(self, id_: str) -> str:
        """Take a letter; "" if it is not there."""
        query = "DELETE FROM letters WHERE id = ? RETURNING body"
        row = await self._database.do(lambda db: db.execute(query, (id_,)).fetchone())
        return str(row[0]) if row is not None else ""
