"""See `ResponseRows`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from agent_kernel.store.records import Finish, JournalEntry, Json, ResponseRow, Unfinished
from agent_kernel.store.sql.conversations import add_items
from agent_kernel.store.sql.database import MINE, SqlPart, Transaction, Values

_COLUMNS = (
    "id, created_at, status, model, previous_id, container_id, owner, conversation_id, resumed,"
    " request, input, response"
)

_PUT = f"""
INSERT INTO responses ({_COLUMNS}, tenant) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (id) DO UPDATE SET
    status = excluded.status, container_id = excluded.container_id, owner = excluded.owner,
    resumed = excluded.resumed, request = excluded.request, input = excluded.input,
    response = excluded.response
"""

_FINISH = f"""
UPDATE responses SET
    status = ?, container_id = ?, owner = ?, resumed = ?, request = ?, input = ?, response = ?
WHERE id = ? AND {MINE}
"""

_ADD_ITEM = """
INSERT INTO items (tenant, id, response_id) SELECT tenant, ?, id FROM responses WHERE id = ?
ON CONFLICT DO NOTHING
"""

_APPEND = """
INSERT INTO events (response_id, number, event) SELECT id, ?, ? FROM responses WHERE id = ?
ON CONFLICT (response_id, number) DO UPDATE SET event = excluded.event
"""

_IN_CONTAINER = f"UPDATE conversations SET container_id = ? WHERE id = ? AND {MINE}"

_CHAIN = f"""
WITH RECURSIVE chain(chained, before, depth) AS (
    SELECT id, previous_id, 0 FROM responses WHERE id = ? AND {MINE}
    UNION ALL
    SELECT r.id, r.previous_id, depth + 1 FROM responses r JOIN chain c ON r.id = c.before WHERE {MINE}
)
SELECT {_COLUMNS} FROM responses r JOIN chain c ON r.id = c.chained ORDER BY c.depth DESC
"""

_EXPIRED = """
SELECT created_at, id FROM responses WHERE (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC LIMIT ?
"""

_EXPIRE = """
DELETE FROM responses WHERE id = ? AND created_at < ? AND owner IS NULL
    AND NOT EXISTS (SELECT 1 FROM responses later WHERE later.previous_id = responses.id)
    AND NOT EXISTS (SELECT 1 FROM sessions WHERE response_id = responses.id)
    AND NOT EXISTS (SELECT 1 FROM session_responses WHERE response_id = responses.id)
RETURNING previous_id
"""
"""Deletes a turn that nothing leads to, and returns the one before it, to which nothing may lead now."""

BATCH = 5
"""Turns that expire in one transaction: other turns wait for it."""

_COUNT = "UPDATE deletions SET count = count + 1"

_ITEM = """
SELECT input, response FROM items i JOIN responses r ON r.id = i.response_id
WHERE i.id = ? AND i.tenant = coalesce(?, i.tenant)
"""

_CONVERSATION_ITEM = f"""
SELECT item FROM conversation_items i JOIN conversations c ON c.id = i.conversation_id
WHERE i.id = ? AND {MINE}
"""


class SqlResponses(SqlPart):
    """Turns and their journals."""

    async def put_response(self, row: ResponseRow) -> None:
        """See `ResponseRows`."""
        await self._change(_PUT, (*_values(row), self.tenant or ""))

    async def response(self, id: str) -> ResponseRow | None:  # noqa: A002
        """See `ResponseRows`."""
        query = f"SELECT {_COLUMNS} FROM responses WHERE id = ? AND {MINE}"
        row = await self._one(query, (id, self.tenant))
        return _row(row) if row else None

    async def chain(self, id: str) -> list[ResponseRow]:  # noqa: A002
        """See `ResponseRows`."""
        return [_row(row) for row in await self._all(_CHAIN, (id, self.tenant, self.tenant))]

    async def deletions(self) -> int:
        """See `ResponseRows`."""
        return int((await self._one("SELECT count FROM deletions", ()))[0])

    async def delete_response(self, id: str) -> bool:  # noqa: A002
        """See `ResponseRows`."""

        def work(db: Transaction) -> bool:
            query = f"DELETE FROM responses WHERE id = ? AND {MINE}"
            deleted = db.execute(query, (id, self.tenant)).rowcount > 0
            if deleted:
                db.execute(_COUNT)
            return deleted

        deleted = await self._do(work)
        if deleted:
            await self._database.purge()
        return deleted

    async def expire_responses(self, before: float) -> tuple[int, float | None]:
        """See `ResponseRows`."""
        count = 0
        last: tuple[float, str] | None = (before, "")
        while last is not None:
            begun = time.perf_counter()
            deleted, last = await self._do(partial(_expire, before=before, last=last, first=not count))
            count += deleted
            await asyncio.sleep(time.perf_counter() - begun)  # turns need the store as well
        if count:
            await self._change(_COUNT, ())
            await self._database.purge()
        query = "SELECT min(created_at) FROM responses WHERE created_at >= ?"
        return count, (await self._one(query, (before,)))[0]

    async def unfinished_responses(self) -> list[Unfinished]:
        """See `ResponseRows`."""
        query = f"SELECT id, created_at, model, owner FROM responses WHERE owner IS NOT NULL AND {MINE}"
        rows = await self._all(query, (self.tenant,))
        return [Unfinished(*row) for row in rows]

    async def write_off_response(self, id: str, owner: str, response: Json, last: JournalEntry) -> bool:  # noqa: A002
        """See `ResponseRows`."""
        find = f"SELECT request, input FROM responses WHERE id = ? AND owner = ? AND {MINE}"
        change = (
            "UPDATE responses SET status = 'incomplete', owner = NULL, request = ?, input = ?, response = ?"
            " WHERE id = ?"
        )

        def work(db: Transaction) -> bool:
            found = db.execute(find, (id, owner, self.tenant)).fetchone()
            if found is None:
                return False
            db.execute(change, (*_readable(*found), json.dumps(response), id))
            db.execute("DELETE FROM events WHERE response_id = ?", (id,))
            _append(db, id, [last])
            return True

        return await self._do(work)

    async def tenant_of_response(self, id: str) -> str:  # noqa: A002
        """See `ResponseRows`."""
        query = f"SELECT tenant FROM responses WHERE id = ? AND {MINE}"
        row = await self._one(query, (id, self.tenant))
        return str(row[0]) if row else ""

    async def adopt_response(self, id: str, was: str, owner: str) -> bool:  # noqa: A002
        """See `ResponseRows`."""
        query = f"UPDATE responses SET owner = ? WHERE id = ? AND owner = ? AND {MINE}"
        return await self._change(query, (owner, id, was, self.tenant))

    async def append_events(self, id: str, entries: Sequence[JournalEntry]) -> None:  # noqa: A002
        """See `ResponseRows`."""
        await self._do(lambda db: _append(db, id, entries))

    async def events(self, id: str, after: int, limit: int) -> list[JournalEntry]:  # noqa: A002
        """See `ResponseRows`."""
        query = (
            "SELECT number, event FROM events JOIN responses ON id = response_id"
            f" WHERE id = ? AND {MINE} AND number > ? ORDER BY number LIMIT ?"
        )
        values = (id, self.tenant, after, limit)
        return await self._all(query, values)

    async def finish_response(self, finish: Finish) -> None:
        """See `ResponseRows`."""
        row, tenant = finish.row, self.tenant
        ids = [(item["id"], row.id) for item in (*row.input, *row.response["output"]) if item.get("id")]
        values = (
            row.status, row.container_id, row.owner, row.resumed, json.dumps(row.request),
            json.dumps(row.input), json.dumps(row.response), row.id, tenant,
        )  # fmt: skip

        def work(db: Transaction) -> None:
            if finish.keep_row and db.execute(_FINISH, values).rowcount:  # else deleted while it ran
                db.executemany(_ADD_ITEM, ids)
                if finish.keep_events:
                    _append(db, row.id, finish.events)
                else:
                    db.execute("DELETE FROM events WHERE response_id = ?", (row.id,))
            if row.conversation_id is not None:
                stopped = row.status != "completed"
                add_items(db, row.conversation_id, finish.said, stopped=stopped, tenant=tenant)
                if row.container_id is not None:
                    db.execute(_IN_CONTAINER, (row.container_id, row.conversation_id, tenant))

        await self._do(work)

    async def item(self, id: str) -> Json | None:  # noqa: A002
        """See `ResponseRows`."""

        def work(db: Transaction) -> Json | None:
            found = db.execute(_ITEM, (id, self.tenant)).fetchone()
            if found is None:
                found = db.execute(_CONVERSATION_ITEM, (id, self.tenant)).fetchone()
                return json.loads(found[0]) if found else None
            for item in (*json.loads(found[0]), *json.loads(found[1])["output"]):
                if item.get("id") == id:
                    return dict(item)
            return None

        return await self._do(work)


def _expire(
    db: Transaction, *, before: float, last: tuple[float, str], first: bool
) -> tuple[int, tuple[float, str] | None]:
    """Delete some old turns, the newest first: a turn goes after those that continue it.

    `last` is the place of the last one that was looked at, `first` whether none has been deleted yet. Returns
    how many were deleted, and the place to go on from, None at the end.
    """
    found = db.execute(_EXPIRED, (*last, BATCH)).fetchall()
    count = 0
    for _, response_id in found:
        gone: str | None = response_id
        while gone is not None and count < 2 * BATCH:
            row = db.execute(_EXPIRE, (gone, before)).fetchone()
            count += row is not None
            gone = row[0] if row is not None else None
    if count and first:  # before any other process goes on with what it remembers of them
        db.execute(_COUNT)
    return count, tuple(found[-1]) if len(found) == BATCH else None


def _append(db: Transaction, response_id: str, entries: Sequence[JournalEntry]) -> None:
    # A response that was deleted while it ran has no journal.
    db.executemany(_APPEND, [(number, event, response_id) for number, event in entries])


def _values(row: ResponseRow) -> Values:
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
