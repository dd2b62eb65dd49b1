"""See `StoredFileRows`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.store.documents import BatchRow, Json, StoredFileRow
from agent_kernel.store.sql.database import MINE, SqlPart, Transaction, Values

COLUMNS = (
    "store_id, file_id, created_at, filename, attributes, chunk_tokens, overlap_tokens, batch_id, status,"
    " error_code, error, usage_bytes, embedded_with, owner, tenant, number"
)

_INSERT = f"INSERT INTO stored_files ({COLUMNS.removesuffix(', number')}) VALUES ({','.join('?' * 15)})"
_OF_STORE = f"store_id = ? AND {MINE} AND (cast(? AS TEXT) IS NULL OR batch_id = ?)"


class SqlStoredFiles(SqlPart):
    """The files in vector stores."""

    async def add_files(self, rows: Sequence[StoredFileRow], batch: BatchRow | None = None) -> None:
        """See `StoredFileRows`."""

        def work(db: Transaction) -> None:
            if batch is not None:
                db.execute(
                    "INSERT INTO batches VALUES (?,?,?,0)", (batch.id, batch.store_id, batch.created_at)
                )
            for row in rows:
                self._remove(db, "store_id = ? AND file_id = ?", (row.store_id, row.file_id))
                db.execute(_INSERT, (
                    row.store_id, row.file_id, row.created_at, row.filename, json.dumps(row.attributes),
                    row.chunk_tokens, row.overlap_tokens, row.batch_id, row.status, row.error_code, row.error,
                    row.usage_bytes, row.embedded_with, row.owner, self.tenant or "",
                ))  # fmt: skip

        await self._do(work)

    async def stored_file(self, store_id: str, file_id: str) -> StoredFileRow | None:
        """See `StoredFileRows`."""
        query = f"SELECT {COLUMNS} FROM stored_files WHERE store_id = ? AND file_id = ? AND {MINE}"
        found = await self._one(query, (store_id, file_id, self.tenant))
        return row_of(found) if found else None

    async def stored_files(self, store_id: str, batch_id: str | None = None) -> list[StoredFileRow]:
        """See `StoredFileRows`."""
        query = f"SELECT {COLUMNS} FROM stored_files WHERE {_OF_STORE} ORDER BY number"
        return [row_of(each) for each in await self._all(query, (store_id, self.tenant, batch_id, batch_id))]

    async def counts(self, store_id: str, batch_id: str | None = None) -> Mapping[str, int]:
        """See `StoredFileRows`."""
        query = f"SELECT status, count(*), sum(usage_bytes) FROM stored_files WHERE {_OF_STORE} GROUP BY 1"
        found = await self._all(query, (store_id, self.tenant, batch_id, batch_id))
        return {**{row[0]: row[1] for row in found}, "usage_bytes": sum(int(row[2]) for row in found)}

    async def set_attributes(self, store_id: str, file_id: str, attributes: Json) -> bool:
        """See `StoredFileRows`."""
        query = f"UPDATE stored_files SET attributes = ? WHERE store_id = ? AND file_id = ? AND {MINE}"
        return await self._change(query, (json.dumps(attributes), store_id, file_id, self.tenant))

    async def delete_stored_file(self, store_id: str, file_id: str) -> bool:
        """See `StoredFileRows`."""
        where = f"store_id = ? AND file_id = ? AND {MINE}"
        return await self._forget(where, (store_id, file_id, self.tenant))

    async def forget_file(self, file_id: str) -> None:
        """See `StoredFileRows`."""
        await self._forget(f"file_id = ? AND {MINE}", (file_id, self.tenant))

    async def _forget(self, where: str, values: Values) -> bool:
        deleted = await self._do(lambda db: self._remove(db, where, values))
        if deleted:
            await self._database.purge()
        return deleted

    async def batch(self, id: str) -> BatchRow | None:  # noqa: A002
        """See `StoredFileRows`."""
        query = (
            "SELECT b.id, store_id, b.created_at, cancelled FROM batches b"
            f" JOIN vector_stores s ON s.id = store_id WHERE b.id = ? AND {MINE}"
        )
        found = await self._one(query, (id, self.tenant))
        return BatchRow(*[*found[:3], bool(found[3])]) if found else None

    async def cancel_batch(self, id: str) -> None:  # noqa: A002
        """See `StoredFileRows`."""

        def work(db: Transaction) -> None:
            files = f"UPDATE stored_files SET status = 'cancelled' WHERE batch_id = ? AND {MINE}"
            db.execute(f"{files} AND status = 'in_progress'", (id, self.tenant))
            mine = f"SELECT id FROM vector_stores WHERE {MINE}"
            db.execute(
                f"UPDATE batches SET cancelled = 1 WHERE id = ? AND store_id IN ({mine})", (id, self.tenant)
            )

        await self._do(work)

    def _remove(self, db: Transaction, where: str, values: Values) -> bool:
        """Delete the files for which `where` holds, with their chunks. Return whether there were any."""
        found = db.execute(f"SELECT store_id, number FROM stored_files WHERE {where}", values).fetchall()
        for store_id, number in found:
            self._remove_chunks(db, store_id, number)
            db.execute("DELETE FROM stored_files WHERE number = ?", (number,))
        return bool(found)

    def _remove_chunks(self, db: Transaction, store_id: str, number: int) -> None:
        """Delete the chunks of one file."""
        raise NotImplementedError


def row_of(found: Sequence[Any]) -> StoredFileRow:
    """Return a row as read."""
    return StoredFileRow(*[*found[:4], json.loads(found[4]), *found[5:]])
