"""Responses, the journal of what happens in them, and conversations, in SQLite; see `store.ResponseStore`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from agent_kernel.store.base import Finish, JournalEntry, Json, ResponseRow, Unfinished
from agent_kernel.store.sqlite.database import Database

_COLUMNS = (
    "id, created_at, status, model, previous_id, container_id, owner, conversation_id, resumed,"
    " request, input, response"
)

_MINE = "tenant = coalesce(?, tenant)"

_PUT = f"""
INSERT INTO responses ({_COLUMNS}, tenant) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (id) DO UPDATE SET
    status = excluded.status, container_id = excluded.container_id, owner = excluded.owner,
    resumed = excluded.resumed, request = excluded.request, input = excluded.input,
    response = excluded.response
"""

_CHAIN = f"""
WITH RECURSIVE chain(chained, before, depth) AS (
    SELECT id, previous_id, 0 FROM responses WHERE id = ? AND {_MINE}
    UNION ALL
    SELECT r.id, r.previous_id, depth + 1 FROM responses r JOIN chain c ON r.id = c.before WHERE {_MINE}
)
SELECT {_COLUMNS} FROM responses r JOIN chain c ON r.id = c.chained ORDER BY c.depth DESC
"""

_EXPIRE = """
DELETE FROM responses WHERE created_at < ? AND id NOT IN (
    WITH RECURSIVE kept(id, previous_id) AS (
        SELECT id, previous_id FROM responses WHERE created_at >= ? OR owner IS NOT NULL
        UNION
        SELECT r.id, r.previous_id FROM responses r JOIN kept k ON r.id = k.previous_id
    )
    SELECT id FROM kept
)
"""

_ITEM = """
SELECT input, response FROM items i JOIN responses r ON r.id = i.response_id
WHERE i.id = ? AND i.tenant = coalesce(?, i.tenant)
"""

_CONVERSATION_ITEM = f"""
SELECT item FROM conversation_items i JOIN conversations c ON c.id = i.conversation_id
WHERE i.id = ? AND {_MINE}
"""

_CONVERSATION = f"(SELECT id FROM conversations WHERE id = ? AND {_MINE})"


class SqliteResponses(Database):
    """The responses of a store."""

    async def put_response(self, row: ResponseRow) -> None:
        """See `Store`."""
        values = (*_values(row), self.tenant or "")
        await self._do(lambda db: db.execute(_PUT, values))

    async def response(self, id: str) -> ResponseRow | None:  # noqa: A002
        """See `Store`."""
        query = f"SELECT {_COLUMNS} FROM responses WHERE id = ? AND {_MINE}"
        row = await self._do(lambda db: db.execute(query, (id, self.tenant)).fetchone())
        return _row(row) if row else None

    async def chain(self, id: str) -> list[ResponseRow]:  # noqa: A002
        """See `Store`."""
        values = (id, self.tenant, self.tenant)
        return [_row(row) for row in await self._do(lambda db: db.execute(_CHAIN, values).fetchall())]

    async def deletions(self) -> int:
        """See `Store`."""
        return int(await self._do(lambda db: db.execute("SELECT count FROM deletions").fetchone()[0]))

    async def delete_response(self, id: str) -> bool:  # noqa: A002
        """See `Store`."""

        def work(db: sqlite3.Connection) -> bool:
            query = f"DELETE FROM responses WHERE id = ? AND {_MINE}"
            deleted = db.execute(query, (id, self.tenant)).rowcount > 0
            if deleted:
                db.execute("UPDATE deletions SET count = count + 1")
            return deleted

        return await self._forget(work)

    async def expire_responses(self, before: float) -> tuple[int, float | None]:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> int:
            count = db.execute(_EXPIRE, (before, before)).rowcount
            if count:
                db.execute("UPDATE deletions SET count = count + 1")
            return count

        query = "SELECT min(created_at) FROM responses WHERE created_at >= ?"
        count = await self._do(work)
        if count:
            await self._empty_log()
        return count, await self._do(lambda db: db.execute(query, (before,)).fetchone()[0])

    async def unfinished_responses(self) -> list[Unfinished]:
        """See `Store`."""
        query = f"SELECT id, created_at, model, owner FROM responses WHERE owner IS NOT NULL AND {_MINE}"
        rows = await self._do(lambda db: db.execute(query, (self.tenant,)).fetchall())
        return [Unfinished(*row) for row in rows]

    async def write_off_response(self, id: str, owner: str, response: Json, last: JournalEntry) -> bool:  # noqa: A002
        """See `Store`."""
        find = f"SELECT request, input FROM responses WHERE id = ? AND owner = ? AND {_MINE}"
        change = (
            "UPDATE responses SET status = 'incomplete', owner = NULL, request = ?, input = ?, response = ?"
            " WHERE id = ?"
        )

        def work(db: sqlite3.Connection) -> bool:
            found = db.execute(find, (id, owner, self.tenant)).fetchone()
            if found is None:
                return False
            db.execute(change, (*_readable(*found), json.dumps(response), id))
            db.execute("DELETE FROM events WHERE response_id = ?", (id,))
            _append(db, id, [last])
            return True

        return await self._do(work)

    async def tenant_of_response(self, id: str) -> str:  # noqa: A002
        """See `Store`."""
        query = f"SELECT tenant FROM responses WHERE id = ? AND {_MINE}"
        row = await self._do(lambda db: db.execute(query, (id, self.tenant)).fetchone())
        return str(row[0]) if row else ""

    async def adopt_response(self, id: str, was: str, owner: str) -> bool:  # noqa: A002
        """See `Store`."""
        query = f"UPDATE responses SET owner = ? WHERE id = ? AND owner = ? AND {_MINE}"
        return await self._do(lambda db: db.execute(query, (owner, id, was, self.tenant)).rowcount > 0)

    async def append_events(self, id: str, entries: Sequence[JournalEntry]) -> None:  # noqa: A002
        """See `Store`."""
        await self._do(lambda db: _append(db, id, entries))

    async def events(self, id: str, after: int, limit: int) -> list[JournalEntry]:  # noqa: A002
        """See `Store`."""
        query = (
            "SELECT number, event FROM events JOIN responses ON id = response_id"
            f" WHERE id = ? AND {_MINE} AND number > ? ORDER BY number LIMIT ?"
        )
        values = (id, self.tenant, after, limit)
        return await self._do(lambda db: db.execute(query, values).fetchall())

    async def finish_response(self, finish: Finish) -> None:
        """See `Store`."""
        row, values = finish.row, (*_values(finish.row), self.tenant or "")
        ids = [(item["id"], row.id) for item in (*row.input, *row.response["output"]) if item.get("id")]
        add_item = "INSERT OR IGNORE INTO items SELECT tenant, ?, id FROM responses WHERE id = ?"

        def work(db: sqlite3.Connection) -> None:
            known = "SELECT 1 FROM responses WHERE id = ?"
            if finish.keep_row and db.execute(known, (row.id,)).fetchone():  # else deleted while it ran
                db.execute(_PUT, values)
                db.executemany(add_item, ids)
                if finish.keep_events:
                    _append(db, row.id, finish.events)
                else:
                    db.execute("DELETE FROM events WHERE response_id = ?", (row.id,))
            if row.conversation_id is not None:
                stopped = row.status != "completed"
                _add_items(db, row.conversation_id, finish.said, stopped=stopped, tenant=self.tenant)
                db.execute(
                    "UPDATE conversations SET container_id = coalesce(?, container_id)"
                    f" WHERE id = ? AND {_MINE}",
                    (row.container_id, row.conversation_id, self.tenant),
                )

        await self._do(work)

    async def item(self, id: str) -> Json | None:  # noqa: A002
        """See `Store`."""

        def work(db: sqlite3.Connection) -> Json | None:
            found = db.execute(_ITEM, (id, self.tenant)).fetchone()
            if found is None:
                found = db.execute(_CONVERSATION_ITEM, (id, self.tenant)).fetchone()
                return json.loads(found[0]) if found else None
            for item in (*json.loads(found[0]), *json.loads(found[1])["output"]):
                if item.get("id") == id:
                    return dict(item)
            return None

        return await self._do(work)

    # -- conversations ------------------------------------------------------------------------------------

    async def put_conversation(self, id: str, created_at: float, metadata: Json) -> None:  # noqa: A002
        """See `Store`."""
        query = (
            "INSERT INTO conversations (id, created_at, metadata, tenant) VALUES (?,?,?,?)"
            " ON CONFLICT (id) DO UPDATE SET metadata = excluded.metadata"
        )
        values = (id, created_at, json.dumps(metadata), self.tenant or "")
        await self._do(lambda db: db.execute(query, values))

    async def conversation(self, id: str) -> tuple[float, Json, str | None] | None:  # noqa: A002
        """See `Store`."""
        query = f"SELECT created_at, metadata, container_id FROM conversations WHERE id = ? AND {_MINE}"
        row = await self._do(lambda db: db.execute(query, (id, self.tenant)).fetchone())
        return (row[0], json.loads(row[1]), row[2]) if row else None

    async def delete_conversation(self, id: str) -> bool:  # noqa: A002
        """See `Store`."""
        query = f"DELETE FROM conversations WHERE id = ? AND {_MINE}"
        return await self._forget(lambda db: db.execute(query, (id, self.tenant)).rowcount > 0)

    async def add_conversation_items(self, id: str, items: Sequence[Json]) -> None:  # noqa: A002
        """See `Store`."""
        await self._do(lambda db: _add_items(db, id, items, stopped=False, tenant=self.tenant))

    async def conversation_items(self, id: str) -> list[tuple[Json, bool]]:  # noqa: A002
        """See `Store`."""
        query = (
            f"SELECT item, stopped FROM conversation_items WHERE conversation_id IN {_CONVERSATION}"
            " ORDER BY position"
        )
        rows = await self._do(lambda db: db.execute(query, (id, self.tenant)).fetchall())
        return [(json.loads(item), bool(stopped)) for item, stopped in rows]

    async def delete_conversation_item(self, id: str, item_id: str) -> bool:  # noqa: A002
        """See `Store`."""
        query = f"DELETE FROM conversation_items WHERE conversation_id IN {_CONVERSATION} AND id = ?"
        return await self._forget(lambda db: db.execute(query, (id, self.tenant, item_id)).rowcount > 0)


def _append(db: sqlite3.Connection, response_id: str, entries: Sequence[JournalEntry]) -> None:
    # A response that was deleted while it ran has no journal any more, and needs none.
    db.executemany(
        "INSERT OR REPLACE INTO events SELECT id, ?, ? FROM responses WHERE id = ?",
        [(number, event, response_id) for number, event in entries],
    )


def _add_items(
    db: sqlite3.Connection,
    id: str,  # noqa: A002
    items: Sequence[Json],
    *,
    stopped: bool,
    tenant: str | None,
) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO conversation_items (conversation_id, id, item, stopped)"
        f" SELECT id, ?, ?, ? FROM conversations WHERE id = ? AND {_MINE}",
        [(item["id"], json.dumps(item), stopped, id, tenant) for item in items],
    )


def _values(row: ResponseRow) -> tuple[Any, ...]:
    return (
        row.id, row.created_at, row.status, row.model, row.previous_id, row.container_id, row.owner,
        row.conversation_id, row.resumed, json.dumps(row.request), json.dumps(row.input),
        json.dumps(row.response),
    )  # fmt: skip


def _readable(request: object, given: object) -> tuple[str, str]:
    """Return a row's request and input as JSON; what is not JSON of the right shape becomes empty."""
    body, items = _parsed(request), _parsed(given)
    if not isinstance(items, list) or not all(isinstance(i, dict) and "type" in i for i in items):
        items = []
    return json.dumps(body if isinstance(body, dict) else {}), json.dumps(items)


def _parsed(text: object) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None


def _row(values: Sequence[Any]) -> ResponseRow:
    id_, created_at, status, model, *ids, resumed, request_text, input_text, response_text = values
    previous_id, container_id, owner, conversation_id = ids
    request, given, response = map(json.loads, (request_text, input_text, response_text))
    if not (isinstance(request, dict) and isinstance(given, list) and isinstance(response, dict)):
        raise ValueError(f"The stored response {id_} has JSON of the wrong shape.")
    return ResponseRow(
        id_, created_at, status, model, previous_id, container_id, request, given, response,
        owner=owner, conversation_id=conversation_id, resumed=resumed,
    )  # fmt: skip
