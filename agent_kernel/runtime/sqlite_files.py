"""What is known of uploaded files, in SQLite; see `store.FileStore`. Their bytes lie beside it, as files."""

from __future__ import annotations

from agent_kernel.runtime.database import Database
from agent_kernel.runtime.store import FileRow

_COLUMNS = "id, created_at, filename, purpose, bytes, expires_at"


class SqliteFiles(Database):
    """The uploaded files of a store."""

    async def put_file(self, row: FileRow) -> None:
        """See `Store`."""
        values = (row.id, row.created_at, row.filename, row.purpose, row.bytes, row.expires_at)
        query = f"INSERT INTO files ({_COLUMNS}) VALUES (?,?,?,?,?,?)"  # noqa: S608 (a constant)
        await self._do(lambda db: db.execute(query, values))

    async def file(self, id: str) -> FileRow | None:  # noqa: A002
        """See `Store`."""
        query = f"SELECT {_COLUMNS} FROM files WHERE id = ?"  # noqa: S608
        row = await self._do(lambda db: db.execute(query, (id,)).fetchone())
        return FileRow(*row) if row else None

    async def files(self) -> list[FileRow]:
        """See `Store`."""
        query = f"SELECT {_COLUMNS} FROM files ORDER BY created_at, rowid"  # noqa: S608
        return [FileRow(*row) for row in await self._do(lambda db: db.execute(query).fetchall())]

    async def delete_file(self, id: str) -> bool:  # noqa: A002
        """See `Store`."""
        return await self._do(lambda db: db.execute("DELETE FROM files WHERE id = ?", (id,)).rowcount > 0)
