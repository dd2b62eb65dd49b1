"""See `VectorStoreRows`."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from agent_kernel.store.documents import VectorStoreRow
from agent_kernel.store.sql.database import MINE, SqlPart, Transaction

_COLUMNS = "id, created_at, name, description, metadata, days, last_active_at, tenant"

_PUT = f"""
INSERT INTO vector_stores ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description,
    metadata = excluded.metadata, days = excluded.days, last_active_at = excluded.last_active_at
"""


class SqlVectorStores(SqlPart):
    """The vector stores."""

    async def put_store(self, row: VectorStoreRow) -> None:
        """See `VectorStoreRows`."""
        values = (
            row.id, row.created_at, row.name, row.description, json.dumps(row.metadata), row.days,
            row.last_active_at, self.tenant or "",
        )  # fmt: skip

        def work(db: Transaction) -> None:
            db.execute(_PUT, values)
            self._add_words(db, row.id)

        await self._do(work)

    async def store(self, id: str) -> VectorStoreRow | None:  # noqa: A002
        """See `VectorStoreRows`."""
        found = await self._one(
            f"SELECT {_COLUMNS} FROM vector_stores WHERE id = ? AND {MINE}", (id, self.tenant)
        )
        return _row(found) if found else None

    async def stores(self) -> list[VectorStoreRow]:
        """See `VectorStoreRows`."""
        query = f"SELECT {_COLUMNS} FROM vector_stores WHERE {MINE} ORDER BY created_at, number"
        return [_row(each) for each in await self._all(query, (self.tenant,))]

    async def touch_stores(self, ids: Collection[str], when: float) -> None:
        """See `VectorStoreRows`."""
        query = f"UPDATE vector_stores SET last_active_at = ? WHERE id = ? AND {MINE}"
        rows = [(when, each, self.tenant) for each in ids]
        await self._do(lambda db: db.executemany(query, rows))

    async def delete_store(self, id: str) -> bool:  # noqa: A002
        """See `VectorStoreRows`."""

        def work(db: Transaction) -> bool:
            query = f"SELECT 1 FROM vector_stores WHERE id = ? AND {MINE}"
            if db.execute(query, (id, self.tenant)).fetchone() is None:
                return False
            self._remove_words(db, id)
            db.execute("DELETE FROM vector_stores WHERE id = ?", (id,))
            return True

        deleted = await self._do(work)
        if deleted:
            await self._database.purge()
        return deleted

    def _add_words(self, db: Transaction, id: str) -> None:  # noqa: A002
        """Prepare the words of a store, which may be there already."""

    def _remove_words(self, db: Transaction, id: str) -> None:  # noqa: A002
        """Delete the words and the chunks of a store that is being deleted, unless they go with its row."""


def _row(found: Sequence[Any]) -> VectorStoreRow:
    return VectorStoreRow(*[*found[:4], json.loads(found[4]), *found[5:]])
