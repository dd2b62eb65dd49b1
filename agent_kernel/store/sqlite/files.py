"""What is known of uploaded files, in SQLite; see `store.FileStore`. Their bytes lie beside it, as files."""

from __future__ import annotations

from agent_kernel.store.base import FileRow
from agent_kernel.store.sqlite.database import Database

_COLUMNS = "id, created_at, filename, purpose, bytes, expires_at"


class SqliteFiles(Database):
    """The uploaded files of a store."""

    async def put_file(self, row: FileRow, most: int | None = None) -> bool:
        """See `Store`."""
        values = (
            row.id, row.created_at, row.filename, row.purpose, row.bytes, row.expires_at, self.tenant or "",
            row.bytes, self.tenant or "", most,
        )  # fmt: skip
        query = (
            f"INSERT INTO files ({_COLUMNS}, tenant) SELECT ?,?,?,?,?,?,?"
            " WHERE ? + (SELECT coalesce(sum(bytes), 0) FROM files WHERE tenant = ?)"
            " <= coalesce(?, 9223372036854775807)"
        )
        return await self._do(lambda db: db.execute(query, values).rowcount > 0)

    async def file(self, id: str) -> FileRow | None:  # noqa: A002
        """See `Store`."""
        query = f"SELECT {_COLUMNS} FROM files WHERE id = ? AND tenant = coalesce(?, tenant)"
        row = await self._do(lambda db: db.execute(query, (id, self.tenant)).fetchone())
        return FileRow(*row) if row else None

    async def files(self) -> list[FileRow]:
        """See `Store`."""
        query = f"SELECT {_COLUMNS} FROM files WHERE tenant = coalesce(?, tenant) ORDER BY created_at, rowid"
        rows = await self._do(lambda db: db.execute(query, (self.tenant,)).fetchall())
        return [FileRow(*row) for row in rows]

    async def stored_bytes(self) -> int:
        """See `Store`."""
        query = "SELECT coalesce(sum(bytes), 0) FROM files WHERE tenant = coalesce(?, tenant)"
        return int(await self._do(lambda db: db.execute(query, (self.tenant,)).fetchone()[0]))

    async def delete_file(self, id: str) -> bool:  # noqa: A002
        """See `Store`."""
        query = "DELETE FROM files WHERE id = ? AND tenant = coalesce(?, tenant)"
        return await self._forget(lambda db: db.execute(query, (id, self.tenant)).rowcount > 0)
