"""See `ChunkRows`: words by FTS5, in a table for each vector store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from agent_kernel.store.documents import Hit, StoredFileRow
from agent_kernel.store.sql.database import Transaction
from agent_kernel.store.sql.documents.chunks import SqlChunks, goes_on
from agent_kernel.store.sql.documents.stores import SqlVectorStores


def words_of(db: Transaction, store_id: str) -> str | None:
    """Return the name of the table with the words of a vector store; None: there is no such store."""
    found = db.execute("SELECT number FROM vector_stores WHERE id = ?", (store_id,)).fetchone()
    return f"words_{found[0]}" if found else None


class SqliteChunks(SqlVectorStores, SqlChunks):
    """The vector stores and the chunks of their files."""

    async def add_chunks(
        self, row: StoredFileRow, texts: Sequence[str], vectors: Sequence[bytes] | None
    ) -> bool:
        """See `ChunkRows`."""

        def work(db: Transaction) -> bool:
            words = words_of(db, row.store_id)
            if words is None or not goes_on(db, row):
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

    async def find_words(
        self, store_id: str, words: Sequence[str], files: Collection[int] | None, limit: int
    ) -> list[Hit]:
        """See `ChunkRows`."""
        match = " OR ".join('"' + word.replace('"', '""') + '"' for word in words)

        def work(db: Transaction) -> list[Hit]:
            table = words_of(db, store_id)
            if table is None or not match:
                return []
            condition, values = self._allowed(db, files)
            query = (
                f"SELECT c.id, c.file, {table}.text, -bm25({table}) FROM {table}"
                f" JOIN chunks c ON c.id = {table}.rowid JOIN stored_files f ON f.number = c.file"
                f" WHERE {table} MATCH ? AND f.status = 'completed'{condition}"
                f" ORDER BY bm25({table}), c.id LIMIT ?"
            )
            return [Hit(*row) for row in db.execute(query, (match, *values, limit)).fetchall()]

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

    def _add_words(self, db: Transaction, id: str) -> None:  # noqa: A002
        words = words_of(db, id)
        db.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS {words} USING fts5(text, tokenize = 'porter unicode61')"
        )

    def _remove_words(self, db: Transaction, id: str) -> None:  # noqa: A002
        numbers = "SELECT number FROM stored_files WHERE store_id = ?"
        db.execute(f"DELETE FROM chunks WHERE file IN ({numbers})", (id,))
        db.execute(f"DROP TABLE IF EXISTS {words_of(db, id)}")

    def _remove_chunks(self, db: Transaction, store_id: str, number: int) -> None:
        ids = "SELECT id FROM chunks WHERE file = ?"
        if not db.execute(f"{ids} LIMIT 1", (number,)).fetchall():
            return
        db.execute(f"DELETE FROM {words_of(db, store_id)} WHERE rowid IN ({ids})", (number,))
        db.execute("DELETE FROM chunks WHERE file = ?", (number,))
        db.execute("UPDATE vector_stores SET untidy = 1 WHERE id = ?", (store_id,))

    def _texts(self, db: Transaction, row: StoredFileRow, after: int, most: int) -> list[tuple[int, str]]:
        words = words_of(db, row.store_id)
        query = (
            f"SELECT c.id, w.text FROM chunks c JOIN {words} w ON w.rowid = c.id"
            " WHERE c.file = ? AND c.id > ? ORDER BY c.id LIMIT ?"
        )
        return db.execute(query, (row.number, after, most)).fetchall() if words else []

    def _text(self, db: Transaction, store_id: str, chunk: int) -> str:
        query = f"SELECT text FROM {words_of(db, store_id)} WHERE rowid = ?"
        return str(db.execute(query, (chunk,)).fetchone()[0])

    def _allowed(self, db: Transaction, files: Collection[int] | None) -> tuple[str, tuple[Any, ...]]:
        if files is None:
            return "", ()
        db.execute("CREATE TEMP TABLE IF NOT EXISTS allowed (number INTEGER PRIMARY KEY)")
        db.execute("DELETE FROM allowed")
        db.executemany("INSERT OR IGNORE INTO allowed VALUES (?)", ((each,) for each in files))
        return " AND c.file IN (SELECT number FROM allowed)", ()
