"""See `ApprovalRows`."""

from __future__ import annotations

from collections.abc import Sequence

from agent_kernel.store.sql.database import SqlPart, Transaction


class SqlApprovals(SqlPart):
    """Answered approvals. They outlive their responses."""

    async def claim_approvals(self, ids: Sequence[str], response_id: str) -> str | None:
        """See `ApprovalRows`."""

        def work(db: Transaction) -> str | None:
            for id_ in ids:
                if db.execute("SELECT 1 FROM approvals WHERE id = ?", (self._own(id_),)).fetchone():
                    return id_
            new = [(self._own(id_), response_id) for id_ in ids]
            db.executemany("INSERT INTO approvals (id, response_id) VALUES (?, ?)", new)
            return None

        return await self._do(work, alone=True)

    async def answered_approvals(self, ids: Sequence[str]) -> set[str]:
        """See `ApprovalRows`."""
        query = "SELECT id FROM approvals WHERE id = ?"
        return await self._do(
            lambda db: {id_ for id_ in ids if db.execute(query, (self._own(id_),)).fetchone()}
        )

    def _own(self, id_: str) -> str:
        """Return the id as it is stored: clients may send any, and no tenant can answer for another."""
        return f"{self.tenant}:{id_}" if self.tenant else id_
