"""See `ChunkRows`: vectors are compared one batch after the other, so that memory stays bounded."""

from __future__ import annotations

import heapq
from collections.abc import AsyncGenerator, Collection
from typing import Any

from agent_kernel.store.documents import FileStatus, Hit, StoredFileRow
from agent_kernel.store.nearest import nearest
from agent_kernel.store.sql.database import Transaction
from agent_kernel.store.sql.documents.files import COLUMNS, SqlStoredFiles, row_of

_READ = 250
"""Chunks whose vectors are compared at a time: some 3 MB of vectors."""

_TEXTS = 100

IN_PROGRESS = "number = ? AND status = 'in_progress' AND coalesce(owner, '') = coalesce(?, '')"


class SqlChunks(SqlStoredFiles):
    """The chunks of files. Each database keeps their texts and words in its own way."""

    async def pending_files(self) -> list[StoredFileRow]:
        """See `ChunkRows`."""
        query = f"SELECT {COLUMNS} FROM stored_files WHERE status = 'in_progress' ORDER BY number"
        return [row_of(each) for each in await self._all(query, ())]

    async def adopt_file(self, row: StoredFileRow, owner: str) -> bool:
        """See `ChunkRows`."""

        def work(db: Transaction) -> bool:
            query = f"UPDATE stored_files SET owner = ? WHERE {IN_PROGRESS}"
            if db.execute(query, (owner, row.number, row.owner)).rowcount < 1:
                return False
            self._remove_chunks(db, row.store_id, row.number)
            return True

        return await self._do(work)

    async def end_file(
        self,
        row: StoredFileRow,
        status: FileStatus,
        *,
        error: tuple[str, str] | None = None,
        usage_bytes: int = 0,
        embedded_with: str | None = None,
    ) -> None:
        """See `ChunkRows`."""
        code, why = error or (None, None)
        values = (status, code, why, usage_bytes, embedded_with, row.number, row.owner)

        def work(db: Transaction) -> None:
            if status != "completed" or not goes_on(db, row):
                self._remove_chunks(db, row.store_id, row.number)
            db.execute(
                "UPDATE stored_files SET status = ?, error_code = ?, error = ?, usage_bytes = ?,"
                f" embedded_with = ?, owner = NULL WHERE {IN_PROGRESS}",
                values,
            )

        await self._do(work)

    async def chunk_texts(self, row: StoredFileRow) -> AsyncGenerator[str, None]:
        """See `ChunkRows`."""
        after = 0
        while True:
            found = await self._do(lambda db, after=after: self._texts(db, row, after, _TEXTS))  # type: ignore[misc]
            for after, text in found:  # noqa: B007 (the last one is where the next part begins)
                yield text
            if len(found) < _TEXTS:
                return

    async def find_vectors(
        self, store_id: str, vector: bytes, model: str, files: Collection[int] | None, limit: int
    ) -> list[Hit]:
        """See `ChunkRows`. Reads all vectors of the store."""

        def work(db: Transaction) -> list[Hit]:
            condition, values = self._allowed(db, files)
            query = (
                "SELECT c.id, c.file, c.vector FROM chunks c JOIN stored_files f ON f.number = c.file"
                " WHERE f.store_id = ? AND f.status = 'completed' AND f.embedded_with = ? AND c.id > ?"
                f"{condition} ORDER BY c.id LIMIT {_READ}"
            )
            best: list[tuple[float, int, int]] = []
            after = 0
            while rows := db.execute(query, (store_id, model, after, *values)).fetchall():
                after = rows[-1][0]
                best = heapq.nlargest(limit, [*best, *nearest(rows, vector)])
            return [Hit(chunk, file, self._text(db, store_id, chunk), score) for score, chunk, file in best]

        return await self._do(work)

    def _texts(self, db: Transaction, row: StoredFileRow, after: int, most: int) -> list[tuple[int, str]]:
        """Return the next chunks of a file behind one, with their ids."""
        raise NotImplementedError

    def _text(self, db: Transaction, store_id: str, chunk: int) -> str:
        """Return the text of one chunk."""
        raise NotImplementedError

    def _allowed(self, db: Transaction, files: Collection[int] | None) -> tuple[str, tuple[Any, ...]]:
        """Return the condition, with its values, that limits a search to chunks `c` of these files."""
        raise NotImplementedError


def goes_on(db: Transaction, row: StoredFileRow) -> bool:
    """Return whether this process still has to index the file."""
    query = f"SELECT 1 FROM stored_files WHERE {IN_PROGRESS}"
    return db.execute(query, (row.number, row.owner)).fetchone() is not None
