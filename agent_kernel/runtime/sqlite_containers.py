"""The containers of a store, in SQLite; see `store.ContainerStore`."""

from __future__ import annotations

from agent_kernel.runtime.database import Database
from agent_kernel.runtime.store import ContainerRow


class SqliteContainers(Database):
    """The containers of a store."""

    async def put_container(self, row: ContainerRow) -> None:
        """See `Store`."""
        values = (
            row.id, row.name, row.backend, row.created_at, row.last_active_at, row.expires_after, row.status,
            row.memory_limit,
        )  # fmt: skip
        await self._do(
            lambda db: db.execute(
                "INSERT INTO containers VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET"
                " name = excluded.name, backend = excluded.backend, last_active_at = excluded.last_active_at,"
                " expires_after = excluded.expires_after, status = excluded.status,"
                " memory_limit = excluded.memory_limit",
                values,
            )
        )

    async def container(self, id: str) -> ContainerRow | None:  # noqa: A002
        """See `Store`."""
        row = await self._do(lambda db: db.execute("SELECT * FROM containers WHERE id = ?", (id,)).fetchone())
        return ContainerRow(*row) if row else None

    async def containers(self) -> list[ContainerRow]:
        """See `Store`."""
        rows = await self._do(
            lambda db: db.execute("SELECT * FROM containers ORDER BY created_at, rowid").fetchall()
        )
        return [ContainerRow(*row) for row in rows]

    async def touch_container(self, id: str, when: float) -> None:  # noqa: A002
        """See `Store`."""
        await self._do(
            lambda db: db.execute(
                "UPDATE containers SET last_active_at = max(last_active_at, ?) WHERE id = ?", (when, id)
            )
        )

    async def end_container(self, id: str, status: str, *, if_idle_at: float | None = None) -> bool:  # noqa: A002
        """See `Store`."""
        idle_at = float("inf") if if_idle_at is None else if_idle_at
        return await self._do(
            lambda db: (
                db.execute(
                    "UPDATE containers SET status = ? WHERE id = ?"
                    " AND status IN ('creating', 'running', 'restoring')"
                    " AND last_active_at + expires_after * 60 <= ?",
                    (status, id, idle_at),
                ).rowcount
                > 0
            )
        )

    async def change_container(self, id: str, was: str, status: str, when: float) -> bool:  # noqa: A002
        """See `Store`."""
        return await self._do(
            lambda db: (
                db.execute(
                    "UPDATE containers SET status = ?, last_active_at = ? WHERE id = ? AND status = ?",
                    (status, when, id, was),
                ).rowcount
                > 0
            )
        )

    async def delete_container(self, id: str) -> bool:  # noqa: A002
        """See `Store`."""
        return await self._do(
            lambda db: db.execute("DELETE FROM containers WHERE id = ?", (id,)).rowcount > 0
        )

    async def add_upload(self, container_id: str, path: str) -> None:
        """See `Store`."""
        await self._do(
            lambda db: db.execute(
                "INSERT OR IGNORE INTO uploads SELECT id, ? FROM containers WHERE id = ?",
                (path, container_id),
            )
        )

    async def remove_upload(self, container_id: str, path: str) -> None:
        """See `Store`."""
        await self._do(
            lambda db: db.execute(
                "DELETE FROM uploads WHERE container_id = ? AND path = ?", (container_id, path)
            )
        )

    async def uploads(self, container_id: str) -> set[str]:
        """See `Store`."""
        rows = await self._do(
            lambda db: db.execute(
                "SELECT path FROM uploads WHERE container_id = ?", (container_id,)
            ).fetchall()
        )
        return {path for (path,) in rows}
