"""See `ChunkRows`: words by FTS5, vectors one batch after the other, so that memory stays bounded."""

from __future__ import annotations

import heapq
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Any

from agent_kernel.store.documents import FileStatus, Hit, StoredFileRow
from agent_kernel.store.nearest import nearest
from agent_kernel.store.sql.database import SqlPart, Transaction
from agent_kernel.store.sqlite.documents.files import COLUMNS, remove_chunks, row_of
from agent_kernel.store.sqlite.documents.stores import words_of

_READ = 250
"""Chunks whose vectors are compared at a time: some 3 MB of vectors."""

_TEXTS = 100

_IN_PROGRESS = "number = ? AND status = 'in_progress' AND owner IS ?"


class SqliteChunks(SqlPart):
    """The chunks of files."""

    async def pending_files(self) -> list[StoredFileRow]:
        """See `ChunkRows`."""
        query = f"SELECT {COLUMNS} FROM stored_files WHERE status = 'in_progress' ORDER BY number"
        return [row_of(each) for each in await self._all(query, ())]

    async def adopt_file(self, row: StoredFileRow, owner: str) -> bool:
        """See `ChunkRows`."""

        def work(db: Transaction) -> bool:
            query = f"UPDATE stored_files SET owner = ? WHERE {_IN_PROGRESS}"
            if db.execute(query, (owner, row.number, row.owner)).rowcount < 1:
                return False
            remove_chunks(db, row.store_id, row.number)
            return True

        return await self._do(work)

    async def add_chunks(
        self, row: StoredFileRow, texts: Sequence[str], vectors: Sequence[bytes] | None
    ) -> bool:
        """See `ChunkRows`."""

        def work(db: Transaction) -> bool:
            words = words_of(db, row.store_id)
            if words is None or not _goes_on(db, row):
                return False
            last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'").fetchone()
            first = 1 + (last[0] if last else 0)
            ids = range(first, first + len(texts))
            blobs: Sequence[Any] = vectors if vectors is not None else [None] * len(texts)
            db.executemany(
                "INSERT INTO chunks VALUES (?,?,?)",
                ((n, row.number, blob) for n, blob in zip(ids, blobs, strict=True)),
            )
            db.executemany(f"INSERT INTO {words} (rowid, text) VALUES (?,?)", zip(ids, texts, strict=True))
            return True

        return await self._do(work, alone=True)

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
            if status != "completed" or not _goes_on(db, row):
                remove_chunks(db, row.store_id, row.number)
            db.execute(
                "UPDATE stored_files SET status = ?, error_code = ?, error = ?, usage_bytes = ?,"
                f" embedded_with = ?, owner = NULL WHERE {_IN_PROGRESS}",
                values,
            )

        await self._do(work)

    async def chunk_texts(self, row: StoredFileRow) -> AsyncGenerator[str, None]:
        """See `ChunkRows`."""
        after = 0
        while True:

            def work(db: Transaction, after: int = after) -> list[tuple[int, str]]:
                words = words_of(db, row.store_id)
                query = (
                    f"SELECT c.id, w.text FROM chunks c JOIN {words} w ON w.rowid = c.id"
                    " WHERE c.file = ? AND c.id > ? ORDER BY c.id LIMIT ?"
                )
                return db.execute(query, (row.number, after, _TEXTS)).fetchall() if words else []

            found = await self._do(work)
            for after, text in found:  # noqa: B007 (the last one is where the next part begins)
                yield text
            if len(found) < _TEXTS:
                return

    async def find_words(
        self, store_id: str, words: Sequence[str], files: Collection[int] | None, limit: int
    ) -> list[Hit]:
        """See `ChunkRows`."""
        match = " OR ".join('"' + word.replace('"', '""') + '"' for word in words)

        def work(db: Transaction) -> list[Hit]:
            table = words_of(db, store_id)
            if table is None or not match:
                return []
            query = (
                f"SELECT c.id, c.file, {table}.text, -bm25({table}) FROM {table}"
                f" JOIN chunks c ON c.id = {table}.rowid JOIN stored_files f ON f.number = c.file"
                f" WHERE {table} MATCH ? AND f.status = 'completed'{_allow(db, files)}"
                f" ORDER BY bm25({table}), c.id LIMIT ?"
            )
            return [Hit(*row) for row in db.execute(query, (match, limit)).fetchall()]

        return await self._do(work)

    async def find_vectors(
        self, store_id: str, vector: bytes, model: str, files: Collection[int] | None, limit: int
    ) -> list[Hit]:
        """See `ChunkRows`. Reads all vectors of the store."""

        def work(db: Transaction) -> list[Hit]:
            table = words_of(db, store_id)
            if table is None:
                return []
            query = (
                "SELECT c.id, c.file, c.vector FROM chunks c JOIN stored_files f ON f.number = c.file"
                " WHERE f.store_id = ? AND f.status = 'completed' AND f.embedded_with = ? AND c.id > ?"
                f"{_allow(db, files)} ORDER BY c.id LIMIT {_READ}"
            )
            best: list[tuple[float, int, int]] = []
            after = 0
            while rows := db.execute(query, (store_id, model, after)).fetchall():
                after = rows[-1][0]
                best = heapq.nlargest(limit, [*best, *nearest(rows, vector)])
            text = f"SELECT text FROM {table} WHERE rowid = ?"
            return [
                Hit(chunk, file, db.execute(text, (chunk,)).fetchone()[0], score)
                for score, chunk, file in best
            ]

        return await self._do(work)

    async def tidy(self) -> None:
        """See `ChunkRows`. FTS5 keeps the words of deleted rows until its segments are merged."""

        def untidy(db: Transaction) -> list[tuple[int]]:
            return db.execute("SELECT number FROM vector_stores WHERE untidy").fetchall()

        def work(db: Transaction, number: int) -> None:
            if db.execute("SELECT 1 FROM vector_stores WHERE number = ?", (number,)).fetchone():
                db.execute(f"INSERT INTO words_{number} (words_{number}) VALUES ('optimize')")
                db.execute("UPDATE vector_stores SET untidy = 0 WHERE number = ?", (number,))

        found = await self._do(untidy)
        for (number,) in found:
            await self._do(lambda db, number=number: work(db, number))  # type: ignore[misc]
        if found:
            await self._database.purge()


def _goes_on(db: Transaction, row: StoredFileRow) -> bool:
    """Return whether this process still has to index the file."""
    query = f"SELECT 1 FROM stored_files WHERE {_IN_PROGRESS}"
    return db.execute(query, (row.number, row.owner)).fetchone() is not None


def _allow(db: Transaction, files: Collection[int] | None) -> str:
    """Return the condition that limits a search to chunks `c` of these files."""
    if files is None:
        return ""
    db.execute("CREATE TEMP TABLE IF NOT EXISTS allowed (number INTEGER PRIMARY KEY)")
    db.execute("DELETE FROM allowed")
    db.executemany("INSERT OR IGNORE INTO allowed VALUES (?)", ((each,) for each in files))
    return " AND c.file IN (SELECT number FROM allowed)"
