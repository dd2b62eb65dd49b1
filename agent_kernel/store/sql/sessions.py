"""See `SessionRows`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agent_kernel.store.records import SessionRow
from agent_kernel.store.sql.database import MINE, SqlPart, Transaction

_COLUMNS = "id, name, created_at, updated_at, response_id, container_id, notebook"

_ADD = f"INSERT INTO sessions ({_COLUMNS}, state, revision, tenant) VALUES (?,?,?,?,?,?,?,?,?,?)"

_REPLACE = f"""
UPDATE sessions SET
    name = ?, updated_at = ?, response_id = ?, container_id = ?, notebook = ?, state = ?, revision = ?
WHERE id = ? AND {MINE} AND revision = ?
"""

_ONE = f"SELECT {_COLUMNS}, state, revision, tenant FROM sessions WHERE id = ? AND {MINE}"

_ALL = f"""
SELECT {_COLUMNS}, '', revision, tenant FROM sessions WHERE {MINE} ORDER BY updated_at DESC, id
"""

_INTERRUPTED = """
WITH RECURSIVE later(id, created_at) AS (
    SELECT r.id, r.created_at FROM responses r JOIN sessions s
        ON r.container_id = s.container_id AND r.tenant = s.tenant AND r.created_at >= s.updated_at
        AND (r.previous_id = s.response_id OR (r.previous_id IS NULL AND s.response_id IS NULL))
    WHERE s.id = ?
    UNION
    SELECT r.id, r.created_at FROM responses r JOIN later l ON r.previous_id = l.id
        JOIN sessions s ON r.container_id = s.container_id AND r.tenant = s.tenant
    WHERE s.id = ?
)
SELECT id FROM later ORDER BY created_at DESC LIMIT 1
"""


class SqlSessions(SqlPart):
    """Kept sessions. A row brings its tenant with it."""

    async def add_session(self, row: SessionRow, most: int) -> bool:
        """See `SessionRows`."""
        values = (
            row.id, row.name, row.created_at, row.updated_at, row.response_id, row.container_id,
            row.notebook, row.state, row.revision, row.tenant,
        )  # fmt: skip
        count = "SELECT count(*) FROM sessions WHERE tenant = ?"

        def work(db: Transaction) -> bool:
            if db.execute(count, (row.tenant,)).fetchone()[0] >= most:
                return False
            db.execute(_ADD, values)
            _refer(db, row.id, row.responses)
            return True

        return await self._do(work, alone=True)

    async def replace_session(self, row: SessionRow, was: int) -> bool:
        """See `SessionRows`."""
        values = (
            row.name, row.updated_at, row.response_id, row.container_id, row.notebook, row.state,
            row.revision, row.id, self.tenant, was,
        )  # fmt: skip

        def work(db: Transaction) -> bool:
            if not db.execute(_REPLACE, values).rowcount:
                return False
            _refer(db, row.id, row.responses)
            return True

        return await self._do(work)

    async def session(self, id: str) -> SessionRow | None:  # noqa: A002
        """See `SessionRows`."""

        def work(db: Transaction) -> SessionRow | None:
            found = db.execute(_ONE, (id, self.tenant)).fetchone()
            return _row(db, found) if found is not None else None

        return await self._do(work)

    async def sessions(self) -> list[SessionRow]:
        """See `SessionRows`."""

        def work(db: Transaction) -> list[SessionRow]:
            found = db.execute(_ALL, (self.tenant,)).fetchall()
            return [_row(db, each) for each in found]

        return await self._do(work)

    async def delete_session(self, id: str) -> bool:  # noqa: A002
        """See `SessionRows`."""
        return await self._delete(f"DELETE FROM sessions WHERE id = ? AND {MINE}", (id, self.tenant))

    async def session_containers(self) -> set[str]:
        """See `SessionRows`."""
        query = f"SELECT DISTINCT container_id FROM sessions WHERE container_id IS NOT NULL AND {MINE}"
        return {id_ for (id_,) in await self._all(query, (self.tenant,))}

    async def interrupted_turn(self, id: str) -> str | None:  # noqa: A002
        """See `SessionRows`."""

        def work(db: Transaction) -> str | None:
            if db.execute(_ONE, (id, self.tenant)).fetchone() is None:
                return None
            found = db.execute(_INTERRUPTED, (id, id)).fetchone()
            return str(found[0]) if found else None

        return await self._do(work)


def _referred(db: Transaction, session_id: str) -> set[str]:
    query = "SELECT response_id FROM session_responses WHERE session_id = ?"
    return {id_ for (id_,) in db.execute(query, (session_id,)).fetchall()}


def _row(db: Transaction, values: Sequence[Any]) -> SessionRow:
    row = SessionRow(*values)
    return replace(row, responses=tuple(sorted(_referred(db, row.id))))


def _refer(db: Transaction, session_id: str, responses: Sequence[str]) -> None:
    """Write down the other responses of a session; usually they are those of before."""
    before, after = _referred(db, session_id), set(responses)
    if before - after:
        gone = [(session_id, id_) for id_ in before - after]
        db.executemany("DELETE FROM session_responses WHERE session_id = ? AND response_id = ?", gone)
    if after - before:
        new = [(session_id, id_) for id_ in after - before]
        db.executemany("INSERT INTO session_responses (session_id, response_id) VALUES (?, ?)", new)
