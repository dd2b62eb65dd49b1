"""All vector stores of a data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from agent_kernel.store.documents import StoredFileRow, VectorStoreRow
from agent_kernel.store.sql.documents.uploads import SqlUploads
from agent_kernel.store.sqlite.database import SqliteDatabase
from agent_kernel.store.sqlite.documents.chunks import SqliteChunks
from agent_kernel.store.sqlite.documents.migrations import MIGRATIONS

FILE = "documents.sqlite"


class SqliteDocuments(SqliteChunks, SqlUploads):
    """See `Documents`. Questions that have no answer before the first vector store do not make the file."""

    def __init__(self, database: SqliteDatabase, tenant: str | None = None) -> None:
        super().__init__(database, tenant)
        self._file = database

    def of(self, tenant: str) -> Self:
        """See `Documents`."""
        return type(self)(self._file, tenant)

    async def stores(self) -> list[VectorStoreRow]:
        """See `VectorStoreRows`."""
        return await super().stores() if self._file.exists else []

    async def pending_files(self) -> list[StoredFileRow]:
        """See `ChunkRows`."""
        return await super().pending_files() if self._file.exists else []

    async def forget_file(self, file_id: str) -> None:
        """See `StoredFileRows`."""
        if self._file.exists:
            await super().forget_file(file_id)

    async def tidy(self) -> None:
        """See `ChunkRows`."""
        if self._file.exists:
            await super().tidy()

    async def aclose(self) -> None:
        """See `Documents`."""
        await self._database.aclose()


def sqlite_documents(folder: Path) -> SqliteDocuments:
    """Return the vector stores of a folder; the file is made on first use."""
    return SqliteDocuments(SqliteDatabase(folder / FILE, MIGRATIONS))
