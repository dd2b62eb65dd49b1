"""See `Documents`: words by PostgreSQL's text search, ranked by bm25 as in SQLite's FTS5."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from typing import Any

from agent_kernel.store.documents import Hit, StoredFileRow
from agent_kernel.store.sql.database import Transaction
from agent_kernel.store.sql.documents.chunks import SqlChunks, goes_on
from agent_kernel.store.sql.documents.stores import SqlVectorStores
from agent_kernel.store.sql.documents.uploads import SqlUploads

_INSERT = (
    "INSERT INTO chunks (file, vector, size, text, words) VALUES (?,?,?,?, to_tsvector('agent_kernel', ?))"
)

# k1 and b of bm25 are those of FTS5. Words are counted among the chunks that may be found.
_FIND = """
WITH wanted AS (
    SELECT tsvector_to_array(to_tsvector('agent_kernel', ?)) AS lexemes
), searched AS (
    SELECT number FROM stored_files
    WHERE store_id = ? AND status = 'completed' AND (? OR number = ANY(cast(? AS BIGINT[])))
), totals AS (
    SELECT count(*)::float8 AS chunks, avg(size)::float8 AS size
    FROM chunks WHERE file IN (SELECT number FROM searched)
), counted AS (
    SELECT c.id, c.file, c.size, u.lexeme, cardinality(u.positions)::float8 AS times
    FROM wanted w, chunks c, unnest(c.words) u
    WHERE c.words @@ array_to_string(array(SELECT quote_literal(l) FROM unnest(w.lexemes) l), '|')::tsquery
        AND c.file IN (SELECT number FROM searched) AND u.lexeme = ANY(w.lexemes)
), rare AS (
    SELECT lexeme, ln(1 + (chunks - count(*) + 0.5) / (count(*) + 0.5)) AS weight
    FROM counted, totals GROUP BY lexeme, chunks
), scored AS (
    SELECT c.id, c.file,
        sum(weight * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * c.size / totals.size))) AS score
    FROM counted c JOIN rare USING (lexeme), totals GROUP BY c.id, c.file ORDER BY score DESC, c.id LIMIT ?
)
SELECT scored.id, scored.file, text, score FROM scored JOIN chunks ON chunks.id = scored.id
ORDER BY score DESC, scored.id
"""


class PostgresDocuments(SqlVectorStores, SqlChunks, SqlUploads):
    """See `Documents`. The chunks of a file are deleted with its row."""

    table = "part_uploads"

    async def add_chunks(
        self, row: StoredFileRow, texts: Sequence[str], vectors: Sequence[bytes] | None
    ) -> bool:
        """See `ChunkRows`."""
        blobs: Sequence[Any] = vectors if vectors is not None else [None] * len(texts)

        def work(db: Transaction) -> bool:
            if not goes_on(db, row):
                return False
            rows = zip(texts, blobs, strict=True)
            db.executemany(
                _INSERT, ((row.number, blob, len(text), text, _plain(text)) for text, blob in rows)
            )
            return True

        return await self._do(work, alone=True)

    async def find_words(
        self, store_id: str, words: Sequence[str], files: Collection[int] | None, limit: int
    ) -> list[Hit]:
        """See `ChunkRows`."""

        def work(db: Transaction) -> list[Hit]:
            values: Any = (_plain(" ".join(words)), store_id, files is None, list(files or ()), limit)
            return [Hit(*row) for row in db.execute(_FIND, values).fetchall()]

        return await self._do(work)

    async def tidy(self) -> None:
        """See `ChunkRows`. Does nothing: deleted rows stay in PostgreSQL's files until its own vacuum."""

    async def aclose(self) -> None:
        """See `Documents`."""
        await self._database.aclose()

    def _remove_chunks(self, db: Transaction, store_id: str, number: int) -> None:
        db.execute("DELETE FROM chunks WHERE file = ?", (number,))

    def _texts(self, db: Transaction, row: StoredFileRow, after: int, most: int) -> list[tuple[int, str]]:
        query = "SELECT id, text FROM chunks WHERE file = ? AND id > ? ORDER BY id LIMIT ?"
        return db.execute(query, (row.number, after, most)).fetchall()

    def _text(self, db: Transaction, store_id: str, chunk: int) -> str:
        return str(db.execute("SELECT text FROM chunks WHERE id = ?", (chunk,)).fetchone()[0])

    def _allowed(self, db: Transaction, files: Collection[int] | None) -> tuple[str, tuple[Any, ...]]:
        return ("", ()) if files is None else (" AND c.file = ANY(cast(? AS BIGINT[]))", (list(files),))


def _plain(text: str) -> str:
    """Return the words of a text as FTS5 reads them: PostgreSQL would take paths and hosts for one word."""
    bare = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return " ".join(re.findall(r"[^\W_]+", bare))
