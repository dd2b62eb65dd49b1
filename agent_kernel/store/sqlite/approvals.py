"""Which approvals were answered, in SQLite; see `store.ApprovalStore`."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from agent_kernel.store.sqlite.database import Database


class SqliteApprovals(Database):
    """The answers of a store. They outlive the responses: what was answered once can never be again."""

    async def claim_approvals(self, ids: Sequence[str], response_id: str) -> str | None:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> str | None:
            for id_ in ids:
                if db.execute("SELECT 1 FROM approvals WHERE id = ?", (self._own(id_),)).fetchone():
                    return id_
            new = [(self._own(id_), response_id) for id_ in ids]
            db.executemany("INSERT INTO approvals VALUES (?, ?)", new)
            return None

        return await self._do(work)

    async def answered_approvals(self, ids: Sequence[str]) -> set[str]:
        """See `Store`."""
        query = "SELECT id FROM approvals WHERE id = ?"
        return await self._do(
            lambda db: {id_ for id_ in ids if db.execute(query, (self._own(id_),)).fetchone()}
        )

    def _own(self, id_: str) -> str:
        """The id as it is kept: clients may send any, and nobody can answer in another's place."""
        return f"{self.tenant}:{id_}" if self.tenant else id_
