"""See `KeyRows`. Only the hash of a key is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent_kernel.keys import KeyLimits
from agent_kernel.store.records import KeyRow
from agent_kernel.store.sql.database import SqlPart

_COLUMNS = "name, id, hash, created_at, revoked_at, turns, containers, stored_bytes, requests_per_minute"

_ADD = f"""
INSERT INTO keys ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)
ON CONFLICT (name) DO UPDATE SET
    id = excluded.id, hash = excluded.hash, created_at = excluded.created_at, revoked_at = NULL,
    turns = excluded.turns, containers = excluded.containers, stored_bytes = excluded.stored_bytes,
    requests_per_minute = excluded.requests_per_minute
WHERE keys.revoked_at IS NOT NULL
"""


class SqlKeys(SqlPart):
    """The API keys. They belong to no tenant."""

    async def add_key(self, row: KeyRow) -> bool:
        """See `KeyRows`."""
        limits = row.limits
        values = (
            row.name, row.id, row.hash, row.created_at, row.revoked_at, limits.turns, limits.containers,
            limits.stored_bytes, limits.requests_per_minute,
        )  # fmt: skip
        return await self._change(_ADD, values)

    async def key(self, id: str) -> KeyRow | None:  # noqa: A002
        """See `KeyRows`."""
        query = f"SELECT {_COLUMNS} FROM keys WHERE id = ?"
        row = await self._one(query, (id,))
        return _key(row) if row else None

    async def keys(self) -> list[KeyRow]:
        """See `KeyRows`."""
        query = f"SELECT {_COLUMNS} FROM keys ORDER BY name"
        return [_key(row) for row in await self._all(query, ())]

    async def revoke_key(self, name: str, when: float) -> bool:
        """See `KeyRows`."""
        query = "UPDATE keys SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL"
        return await self._change(query, (when, name))


def _key(values: Sequence[Any]) -> KeyRow:
    name, id_, digest, created_at, revoked_at, *limits = values
    return KeyRow(name, id_, digest, created_at, revoked_at, KeyLimits(*limits))
