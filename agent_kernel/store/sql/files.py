"""See `FileRows`."""

from __future__ import annotations

from agent_kernel.store.records import FileRow
from agent_kernel.store.sql.database import MINE, Transaction
from agent_kernel.store.sql.places import SqlListed

_COLUMNS = "id, created_at, filename, purpose, bytes, expires_at"


class SqlFiles(SqlListed):
    """The uploaded files."""

    async def put_file(self, row: FileRow, most: int | None = None) -> bool:
        """See `FileRows`."""
        tenant = self.tenant or ""
        insert = f"INSERT INTO files ({_COLUMNS}, tenant) VALUES (?,?,?,?,?,?,?)"
        total = "SELECT coalesce(sum(bytes), 0) FROM files WHERE tenant = ?"
        values = (
            row.id, row.created_at, row.filename, row.purpose, row.bytes, row.expires_at, tenant,
        )  # fmt: skip

        def work(db: Transaction) -> bool:
            if most is not None and row.bytes + int(db.execute(total, (tenant,)).fetchone()[0]) > most:
                return False
            db.execute(insert, values)
            return True

        return await self._do(work, alone=most is not None)

    async def file(self, id: str) -> FileRow | None:  # noqa: A002
        """See `FileRows`."""
        row = await self._one(f"SELECT {_COLUMNS} FROM files WHERE id = ? AND {MINE}", (id, self.tenant))
        return FileRow(*row) if row else None

    async def files(self) -> list[FileRow]:
        """See `FileRows`."""
        query = f"SELECT {_COLUMNS} FROM files WHERE {MINE} ORDER BY created_at, rowid"
        return [FileRow(*row) for row in await self._all(query, (self.tenant,))]

    async def stored_bytes(self) -> int:
        """See `FileRows`."""
        query = f"SELECT coalesce(sum(bytes), 0) FROM files WHERE {MINE}"
        return int((await self._one(query, (self.tenant,)))[0])

    async def delete_file(self, id: str) -> bool:  # noqa: A002
        """See `FileRows`."""
        query = f"DELETE FROM files WHERE id = ? AND {MINE}"
        return await self._delete_entry("files", id, query, (id, self.tenant))
