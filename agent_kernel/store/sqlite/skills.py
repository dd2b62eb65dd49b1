"""Which skills are in which container, in SQLite; see `store.SkillStore`."""

from __future__ import annotations

from agent_kernel.store.base import SkillNote
from agent_kernel.store.sqlite.database import Database


class SqliteSkills(Database):
    """The skills in the containers of a store."""

    async def put_skill(self, container_id: str, note: SkillNote) -> None:
        """See `Store`."""
        values = (note.name, note.description, note.path, note.digest, container_id, self.tenant)
        query = (
            "INSERT OR REPLACE INTO skills SELECT id, ?, ?, ?, ? FROM containers"
            " WHERE id = ? AND tenant = coalesce(?, tenant)"
        )
        await self._do(lambda db: db.execute(query, values))

    async def skills(self, container_id: str) -> list[SkillNote]:
        """See `Store`."""
        query = (
            "SELECT s.name, description, path, digest FROM skills s JOIN containers c ON c.id = container_id"
            " WHERE c.id = ? AND tenant = coalesce(?, tenant) ORDER BY s.name"
        )
        rows = await self._do(lambda db: db.execute(query, (container_id, self.tenant)).fetchall())
        return [SkillNote(*row) for row in rows]
