"""The containers of a store, in SQLite; see `store.ContainerStore`."""

from __future__ import annotations

import sqlite3
from typing import Any

from agent_kernel.store.base import ContainerRow
from agent_kernel.store.sqlite.database import Database

_MINE = "tenant = coalesce(?, tenant)"

_PUT = """
INSERT INTO containers VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, backend = excluded.backend, last_active_at = excluded.last_active_at,
    expires_after = excluded.expires_after, status = excluded.status, memory_limit = excluded.memory_limit
"""

_LIVE = "SELECT count(*) FROM containers WHERE tenant = ? AND status IN ('creating', 'running', 'restoring')"


class SqliteContainers(Database):
    """The containers of a store. A row brings its tenant with it; everything else asks for it."""

    async def put_container(self, row: ContainerRow) -> None:
        """See `Store`."""
        values = _values(row)
        await self._do(lambda db: db.execute(_PUT, values))

    async def add_container(self, row: ContainerRow, most: int | None) -> bool:
        """See `Store`."""
        values = _values(row)

        def work(db: sqlite3.Connection) -> bool:
            if most is not None:
                db.execute("BEGIN IMMEDIATE")  # another process may be counting at this moment
                if _live(db, row.tenant) >= most:
                    return False
            db.execute(_PUT, values)
            return True

        return await self._do(work)

    async def rename_container(self, id: str, new: str) -> None:  # noqa: A002
        """See `Store`."""
        query = f"UPDATE containers SET id = ? WHERE id = ? AND {_MINE}"
        await self._do(lambda db: db.execute(query, (new, id, self.tenant)))

    async def container(self, id: str) -> ContainerRow | None:  # noqa: A002
        """See `Store`."""
        query = f"SELECT * FROM containers WHERE id = ? AND {_MINE}"
        row = await self._do(lambda db: db.execute(query, (id, self.tenant)).fetchone())
        return ContainerRow(*row) if row else None

    async def containers(self) -> list[ContainerRow]:
        """See `Store`."""
        query = f"SELECT * FROM containers WHERE {_MINE} ORDER BY created_at, rowid"
        rows = await self._do(lambda db: db.execute(query, (self.tenant,)).fetchall())
        return [ContainerRow(*row) for row in rows]

    async def touch_container(self, id: str, when: float) -> None:  # noqa: A002
        """See `Store`."""
        query = f"UPDATE containers SET last_active_at = max(last_active_at, ?) WHERE id = ? AND {_MINE}"
        await self._do(lambda db: db.execute(query, (when, id, self.tenant)))

    async def end_container(self, id: str, status: str, *, if_idle_at: float | None = None) -> bool:  # noqa: A002
        """See `Store`."""
        idle_at = float("inf") if if_idle_at is None else if_idle_at
        query = (
            f"UPDATE containers SET status = ? WHERE id = ? AND {_MINE}"
            " AND status IN ('creating', 'running', 'restoring')"
            " AND last_active_at + expires_after * 60 <= ?"
        )
        values = (status, id, self.tenant, idle_at)
        return await self._do(lambda db: db.execute(query, values).rowcount > 0)

    async def change_container(
        self,
        id: str,  # noqa: A002
        was: str,
        status: str,
        when: float,
        *,
        most: int | None = None,
    ) -> bool:
        """See `Store`."""
        query = (
            f"UPDATE containers SET status = ?, last_active_at = ? WHERE id = ? AND {_MINE} AND status = ?"
        )

        def work(db: sqlite3.Connection) -> bool:
            if most is not None:
                db.execute("BEGIN IMMEDIATE")
                found = db.execute("SELECT tenant FROM containers WHERE id = ?", (id,)).fetchone()
                if found is None or _live(db, found[0]) >= most:
                    return False
            return db.execute(query, (status, when, id, self.tenant, was)).rowcount > 0

        return await self._do(work)

    async def delete_container(self, id: str) -> bool:  # noqa: A002
        """See `Store`."""
        query = f"DELETE FROM containers WHERE id = ? AND {_MINE}"
        return await self._do(lambda db: db.execute(query, (id, self.tenant)).rowcount > 0)

    async def add_upload(self, container_id: str, path: str) -> None:
        """See `Store`."""
        query = f"INSERT OR IGNORE INTO uploads SELECT id, ? FROM containers WHERE id = ? AND {_MINE}"
        await self._do(lambda db: db.execute(query, (path, container_id, self.tenant)))

    async def remove_upload(self, container_id: str, path: str) -> None:
        """See `Store`."""
        query = (
            "DELETE FROM uploads WHERE path = ?"
            f" AND container_id IN (SELECT id FROM containers WHERE id = ? AND {_MINE})"
        )
        await self._do(lambda db: db.execute(query, (path, container_id, self.tenant)))

    async def uploads(self, container_id: str) -> set[str]:
        """See `Store`."""
        query = f"SELECT path FROM uploads JOIN containers ON id = container_id WHERE id = ? AND {_MINE}"
        rows = await self._do(lambda db: db.execute(query, (container_id, self.tenant)).fetchall())
        return {path for (path,) in rows}


def _live(db: sqlite3.Connection, tenant: str) -> int:
    return int(db.execute(_LIVE, (tenant,)).fetchone()[0])


def _values(row: ContainerRow) -> tuple[Any, ...]:
    return (
        row.id, row.name, row.backend, row.created_at, row.last_active_at, row.expires_after, row.status,
        row.memory_limit, row.tenant,
    )  # fmt: skip
