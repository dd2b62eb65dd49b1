"""All rows of a store in one SQL database."""

from __future__ import annotations

import uuid

from agent_kernel.store.sql.approvals import SqlApprovals
from agent_kernel.store.sql.containers import SqlContainers
from agent_kernel.store.sql.conversations import SqlConversations
from agent_kernel.store.sql.database import Transaction
from agent_kernel.store.sql.files import SqlFiles
from agent_kernel.store.sql.kept_skills import SqlKeptSkills
from agent_kernel.store.sql.keys import SqlKeys
from agent_kernel.store.sql.places import SqlPlaces
from agent_kernel.store.sql.responses import SqlResponses
from agent_kernel.store.sql.sessions import SqlSessions
from agent_kernel.store.sql.skills import SqlSkills
from agent_kernel.store.sql.traces import SqlTraces


class SqlRows(
    SqlResponses,
    SqlConversations,
    SqlContainers,
    SqlSessions,
    SqlSkills,
    SqlKeptSkills,
    SqlFiles,
    SqlPlaces,
    SqlApprovals,
    SqlKeys,
    SqlTraces,
):
    """See `Rows`."""

    def version(self) -> int | None:
        """See `Rows`."""
        return self._database.version()

    async def identity(self) -> str:
        """See `Rows`."""
        return await self._kept("identity", uuid.uuid4().hex)

    async def claim_sandboxes(self, place: str) -> str:
        """See `Rows`."""
        return await self._kept("sandboxes", place)

    async def _kept(self, key: str, value: str) -> str:
        """Return what the store keeps under a key, first the value given here."""

        def work(db: Transaction) -> str:
            db.execute("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (key, value))
            return str(db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])

        return await self._do(work)

    async def aclose(self) -> None:
        """See `Rows`."""
        await self._database.aclose()
