"""The keys of a store, in SQLite; see `store.KeyStore`. What is here of a key is its hash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent_kernel.keys import KeyLimits
from agent_kernel.store.base import KeyRow
from agent_kernel.store.sqlite.database import Database

_COLUMNS = "name, id, hash, created_at, revoked_at, turns, containers, stored_bytes, requests_per_minute"

_ADD = f"""
INSERT INTO keys ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)
ON CONFLICT (name) DO UPDATE SET
    id = excluded.id, hash = excluded.hash, created_at = excluded.created_at, revoked_at = NULL,
    turns = excluded.turns, containers = excluded.containers, stored_bytes = excluded.stored_bytes,
    requests_per_minute = excluded.requests_per_minute
WHERE revoked_at IS NOT NULL
"""


class SqliteKeys(Database):
    """The keys of a store; they are nobody's."""

    async def add_key(self, row: KeyRow) -> bool:
        """See `Store`."""
        limits = row.limits
        values = (
            row.name, row.id, row.hash, row.created_at, row.revoked_at, limits.turns, limits.containers,
            limits.stored_bytes, limits.requests_per_minute,
        )  # fmt: skip
        return await self._do(lambda db: db.execute(_ADD, values).rowcount > 0)

    async def key(self, id: str) -> KeyRow | None:  # noqa: A002
        """See `Store`."""
        query = f"SELECT {_COLUMNS} FROM keys WHERE id = ?"
        row = await self._do(lambda db: db.execute(query, (id,)).fetchone())
        return _key(row) if row else None

    async def keys(self) -> list[KeyRow]:
        """See `Store`."""
        query = f"SELECT {_COLUMNS} FROM keys ORDER BY name"
        rows = await self._do(lambda db: db.execute(query).fetchall())
        return [_key(row) for row in rows]

    async def revoke_key(self, name: str, when: float) -> bool:
        """See `Store`."""
        query = "UPDATE keys SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL"
        return await self._do(lambda db: db.execute(query, (when, name)).rowcount > 0)


def _key(values: Sequence[Any]) -> KeyRow:
    name, id_, digest, created_at, revoked_at, *limits = values
    return KeyRow(name, id_, digest, created_at, revoked_at, KeyLimits(*limits))
