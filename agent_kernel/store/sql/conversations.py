"""See `ConversationRows`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from agent_kernel.store.records import Json
from agent_kernel.store.sql.database import MINE, Transaction
from agent_kernel.store.sql.places import SqlListed

_CONVERSATION = f"(SELECT id FROM conversations WHERE id = ? AND {MINE})"

_REMOVE = f"DELETE FROM conversation_items WHERE conversation_id IN {_CONVERSATION} AND id = ?"

_ADD = f"""
INSERT INTO conversation_items (conversation_id, id, item, stopped)
SELECT id, ?, ?, ? FROM conversations WHERE id = ? AND {MINE}
"""


class SqlConversations(SqlListed):
    """Conversations and their items."""

    async def put_conversation(self, id: str, created_at: float, metadata: Json) -> None:  # noqa: A002
        """See `ConversationRows`."""
        query = (
            "INSERT INTO conversations (id, created_at, metadata, tenant) VALUES (?,?,?,?)"
            " ON CONFLICT (id) DO UPDATE SET metadata = excluded.metadata"
        )
        await self._change(query, (id, created_at, json.dumps(metadata), self.tenant or ""))

    async def conversation(self, id: str) -> tuple[float, Json, str | None] | None:  # noqa: A002
        """See `ConversationRows`."""
        query = f"SELECT created_at, metadata, container_id FROM conversations WHERE id = ? AND {MINE}"
        row = await self._one(query, (id, self.tenant))
        return (row[0], json.loads(row[1]), row[2]) if row else None

    async def delete_conversation(self, id: str) -> bool:  # noqa: A002
        """See `ConversationRows`."""
        query = f"DELETE FROM conversations WHERE id = ? AND {MINE}"
        return await self._delete(query, (id, self.tenant))

    async def add_conversation_items(self, id: str, items: Sequence[Json]) -> None:  # noqa: A002
        """See `ConversationRows`."""
        await self._do(lambda db: add_items(db, id, items, stopped=False, tenant=self.tenant))

    async def conversation_items(self, id: str) -> list[tuple[Json, bool]]:  # noqa: A002
        """See `ConversationRows`."""
        query = (
            f"SELECT item, stopped FROM conversation_items WHERE conversation_id IN {_CONVERSATION}"
            " ORDER BY position"
        )
        rows = await self._all(query, (id, self.tenant))
        return [(json.loads(item), bool(stopped)) for item, stopped in rows]

    async def delete_conversation_item(self, id: str, item_id: str) -> bool:  # noqa: A002
        """See `ConversationRows`."""
        return await self._delete_entry(id, item_id, _REMOVE, (id, self.tenant, item_id))


def add_items(
    db: Transaction, conversation_id: str, items: Sequence[Json], *, stopped: bool, tenant: str | None
) -> None:
    """Append items to a conversation; an item with a known id moves to the end."""
    last = {item["id"]: item for item in items}  # of several with one id the last one counts
    kept = [item for item in items if last[item["id"]] is item]
    db.executemany(_REMOVE, [(conversation_id, tenant, item["id"]) for item in kept])
    db.executemany(
        _ADD, [(item["id"], json.dumps(item), int(stopped), conversation_id, tenant) for item in kept]
    )
