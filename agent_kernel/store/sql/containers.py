"""See `ContainerRows`."""

from __future__ import annotations

from agent_kernel.store.records import ContainerRow
from agent_kernel.store.sql.database import MINE, Transaction, Values
from agent_kernel.store.sql.places import SqlListed

_COLUMNS = (
    "id, name, backend, created_at, last_active_at, expires_after, status, memory_limit, tenant, resources,"
    " network, sandbox"
)

_PUT = f"""
INSERT INTO containers ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, backend = excluded.backend, last_active_at = excluded.last_active_at,
    expires_after = excluded.expires_after, status = excluded.status, memory_limit = excluded.memory_limit
"""

_LIVE = "SELECT count(*) FROM containers WHERE tenant = ? AND status IN ('creating', 'running', 'restoring')"


class SqlContainers(SqlListed):
    """The containers. A row brings its tenant with it; all else is filtered by tenant."""

    async def put_container(self, row: ContainerRow) -> None:
        """See `ContainerRows`."""
        await self._change(_PUT, _values(row))

    async def add_container(self, row: ContainerRow, most: int | None) -> bool:
        """See `ContainerRows`."""
        values = _values(row)

        def work(db: Transaction) -> bool:
            if most is not None and _live(db, row.tenant) >= most:
                return False
            db.execute(_PUT, values)
            return True

        return await self._do(work, alone=most is not None)

    async def rename_container(self, id: str, new: str) -> None:  # noqa: A002
        """See `ContainerRows`."""
        query = f"UPDATE containers SET id = ? WHERE id = ? AND {MINE}"
        await self._change(query, (new, id, self.tenant))

    async def container(self, id: str) -> ContainerRow | None:  # noqa: A002
        """See `ContainerRows`."""
        return await self._do(lambda db: self._read(db, id))

    async def containers(self) -> list[ContainerRow]:
        """See `ContainerRows`."""
        query = f"SELECT {_COLUMNS} FROM containers WHERE {MINE} ORDER BY created_at, rowid"
        return [ContainerRow(*row) for row in await self._all(query, (self.tenant,))]

    def _read(self, db: Transaction, id: str) -> ContainerRow | None:  # noqa: A002
        query = f"SELECT {_COLUMNS} FROM containers WHERE id = ? AND {MINE}"
        row = db.execute(query, (id, self.tenant)).fetchone()
        return ContainerRow(*row) if row else None

    async def touch_container(self, id: str, when: float) -> ContainerRow | None:  # noqa: A002
        """See `ContainerRows`."""

        def work(db: Transaction) -> ContainerRow | None:
            query = (
                f"UPDATE containers SET last_active_at = ? WHERE id = ? AND {MINE}"
                " AND status = 'running' AND last_active_at < ?"
            )
            db.execute(query, (when, id, self.tenant, when))
            return self._read(db, id)

        return await self._do(work)

    async def end_container(self, id: str, status: str, *, if_idle_at: float | None = None) -> bool:  # noqa: A002
        """See `ContainerRows`."""
        idle_at = float("inf") if if_idle_at is None else if_idle_at
        query = (
            f"UPDATE containers SET status = ? WHERE id = ? AND {MINE}"
            " AND status IN ('creating', 'running', 'restoring')"
            " AND last_active_at + expires_after * 60 <= ?"
        )
        return await self._change(query, (status, id, self.tenant, idle_at))

    async def change_container(
        self,
        id: str,  # noqa: A002
        was: str,
        status: str,
        when: float,
        *,
        most: int | None = None,
    ) -> bool:
        """See `ContainerRows`."""
        query = f"UPDATE containers SET status = ?, last_active_at = ? WHERE id = ? AND {MINE} AND status = ?"

        def work(db: Transaction) -> bool:
            if most is not None:
                found = db.execute("SELECT tenant FROM containers WHERE id = ?", (id,)).fetchone()
                if found is None or _live(db, found[0]) >= most:
                    return False
            return db.execute(query, (status, when, id, self.tenant, was)).rowcount > 0

        return await self._do(work, alone=most is not None)

    async def put_network(self, id: str, network: str) -> bool:  # noqa: A002
        """See `ContainerRows`."""
        query = f"UPDATE containers SET network = ? WHERE id = ? AND {MINE}"
        return await self._change(query, (network, id, self.tenant))

    async def replace_sandbox(self, id: str, was: str, sandbox: str, when: float) -> bool:  # noqa: A002
        """See `ContainerRows`."""
        query = (
            f"UPDATE containers SET sandbox = ?, last_active_at = ? WHERE id = ? AND {MINE}"
            " AND sandbox = ? AND status = 'running'"
        )
        return await self._change(query, (sandbox, when, id, self.tenant, was))

    async def delete_container(self, id: str, *, sandbox: str | None = None) -> bool:  # noqa: A002
        """See `ContainerRows`."""
        query = f"DELETE FROM containers WHERE id = ? AND {MINE} AND sandbox = coalesce(?, sandbox)"
        return await self._delete_entry("containers", id, query, (id, self.tenant, sandbox))

    async def add_upload(self, container_id: str, path: str) -> None:
        """See `ContainerRows`."""
        query = (
            "INSERT INTO uploads (container_id, path)"
            f" SELECT id, ? FROM containers WHERE id = ? AND {MINE} ON CONFLICT DO NOTHING"
        )
        await self._change(query, (path, container_id, self.tenant))

    async def remove_upload(self, container_id: str, path: str) -> None:
        """See `ContainerRows`."""
        query = (
            "DELETE FROM uploads WHERE path = ?"
            f" AND container_id IN (SELECT id FROM containers WHERE id = ? AND {MINE})"
        )
        await self._change(query, (path, container_id, self.tenant))

    async def uploads(self, container_id: str) -> set[str]:
        """See `ContainerRows`."""
        query = f"SELECT path FROM uploads JOIN containers ON id = container_id WHERE id = ? AND {MINE}"
        return {path for (path,) in await self._all(query, (container_id, self.tenant))}


def _live(db: Transaction, tenant: str) -> int:
    return int(db.execute(_LIVE, (tenant,)).fetchone()[0])


def _values(row: ContainerRow) -> Values:
    return (
        row.id, row.name, row.backend, row.created_at, row.last_active_at, row.expires_after, row.status,
        row.memory_limit, row.tenant, row.resources, row.network, row.sandbox,
    )  # fmt: skip
