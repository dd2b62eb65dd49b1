"""See `UploadRows`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agent_kernel.store.documents import UploadRow
from agent_kernel.store.sql.database import MINE, SqlPart, Transaction

_COLUMNS = "id, created_at, expires_at, filename, purpose, bytes, status, file_id, seconds, parts, tenant"


class SqlUploads(SqlPart):
    """Uploads in parts. `table` has them."""

    table = "uploads"

    async def put_upload(self, row: UploadRow, was: str | None = None) -> bool:
        """See `UploadRows`."""
        if was is not None:
            query = f"UPDATE {self.table} SET status = ?, file_id = ? WHERE id = ? AND status = ? AND {MINE}"
            return await self._change(query, (row.status, row.file_id, row.id, was, self.tenant))
        values = (
            row.id, row.created_at, row.expires_at, row.filename, row.purpose, row.bytes, row.status,
            row.file_id, row.seconds, json.dumps(row.parts), self.tenant or "",
        )  # fmt: skip
        return await self._change(
            f"INSERT INTO {self.table} ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)", values
        )

    async def upload(self, id: str) -> UploadRow | None:  # noqa: A002
        """See `UploadRows`."""
        found = await self._one(
            f"SELECT {_COLUMNS} FROM {self.table} WHERE id = ? AND {MINE}", (id, self.tenant)
        )
        return _row(found) if found else None

    async def add_part(self, id: str, part_id: str, size: int, most: int) -> bool:  # noqa: A002
        """See `UploadRows`."""

        def work(db: Transaction) -> bool:
            query = f"SELECT parts FROM {self.table} WHERE id = ? AND status = 'pending' AND {MINE}"
            found = db.execute(query, (id, self.tenant)).fetchone()
            parts = json.loads(found[0]) if found else {}
            if found is None or sum(parts.values()) + size > most:
                return False
            parts[part_id] = size
            db.execute(f"UPDATE {self.table} SET parts = ? WHERE id = ?", (json.dumps(parts), id))
            return True

        return await self._do(work, alone=True)

    async def uploads(self) -> list[UploadRow]:
        """See `UploadRows`."""
        query = f"SELECT {_COLUMNS} FROM {self.table} WHERE {MINE} ORDER BY created_at"
        return [_row(each) for each in await self._all(query, (self.tenant,))]

    async def delete_upload(self, id: str) -> None:  # noqa: A002
        """See `UploadRows`."""
        await self._change(f"DELETE FROM {self.table} WHERE id = ? AND {MINE}", (id, self.tenant))


def _row(found: Sequence[Any]) -> UploadRow:
    return UploadRow(*[*found[:9], json.loads(found[9]), found[10]])
