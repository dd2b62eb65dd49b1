"""See `PlaceRows`."""

from __future__ import annotations

import time

from agent_kernel.store.sql.database import MINE, SqlPart, Transaction, Values

KEPT = 7 * 24 * 3600.0
"""The seconds for which a place is kept."""

_ENTRIES = """(
    SELECT 'files' AS list, tenant, id, created_at, rowid AS number FROM files
    UNION ALL SELECT 'containers', tenant, id, created_at, rowid FROM containers
    UNION ALL SELECT c.id, c.tenant, i.id, 0.0, i.position
        FROM conversation_items i JOIN conversations c ON c.id = i.conversation_id
) AS entries"""

_BURY = f"""
INSERT INTO places (list, tenant, id, created_at, number, deleted_at)
SELECT list, tenant, id, created_at, number, ? FROM {_ENTRIES} WHERE list = ? AND id = ? AND {MINE}
ON CONFLICT (list, id, tenant) DO UPDATE SET
    created_at = excluded.created_at, number = excluded.number, deleted_at = excluded.deleted_at
"""

_BEFORE = f"""
SELECT coalesce((
    SELECT id FROM {_ENTRIES} WHERE entries.list = places.list AND {MINE} AND (
        entries.created_at < places.created_at
        OR (entries.created_at = places.created_at AND entries.number < places.number)
    ) ORDER BY entries.created_at DESC, entries.number DESC LIMIT 1
), '') FROM places WHERE list = ? AND id = ? AND places.tenant = coalesce(?, places.tenant)
"""

_PUT = f"""
INSERT INTO listed_files (container_id, id, place, listed_at)
SELECT id, ?, ?, ? FROM containers WHERE id = ? AND {MINE}
ON CONFLICT (container_id, id) DO UPDATE SET place = excluded.place, listed_at = excluded.listed_at
"""


class SqlListed(SqlPart):
    """Rows of a list: the place of a deleted one is kept, so that paging can go on from there."""

    async def _delete_entry(self, listed: str, id: str, query: str, values: Values) -> bool:  # noqa: A002
        """Delete an entry of a list for good and return whether it was there."""
        now = time.time()

        def work(db: Transaction) -> bool:
            db.execute("DELETE FROM places WHERE deleted_at < ?", (now - KEPT,))
            db.execute(_BURY, (now, listed, id, self.tenant))
            return db.execute(query, values).rowcount > 0

        deleted = await self._do(work)
        if deleted:
            await self._database.purge()
        return deleted


class SqlPlaces(SqlPart):
    """The places of deleted entries."""

    async def before(self, listed: str, id: str) -> str | None:  # noqa: A002
        """See `PlaceRows`."""
        found = await self._one(_BEFORE, (self.tenant, listed, id, self.tenant))
        return str(found[0]) if found else None

    async def put_place(self, container_id: str, file_id: str, place: str) -> None:
        """See `PlaceRows`."""
        now = time.time()

        def work(db: Transaction) -> None:
            old = "DELETE FROM listed_files WHERE container_id = ? AND listed_at < ?"
            db.execute(old, (container_id, now - KEPT))
            db.execute(_PUT, (file_id, place, now, container_id, self.tenant))

        await self._do(work)

    async def place(self, container_id: str, file_id: str) -> str | None:
        """See `PlaceRows`."""
        query = (
            "SELECT place FROM listed_files JOIN containers ON containers.id = container_id"
            f" WHERE container_id = ? AND listed_files.id = ? AND {MINE}"
        )
        found = await self._one(query, (container_id, file_id, self.tenant))
        return str(found[0]) if found else None
