"""See `SkillRows`."""

from __future__ import annotations

from agent_kernel.store.records import SkillNote
from agent_kernel.store.sql.database import MINE, SqlPart

_PUT = f"""
INSERT INTO skills (container_id, name, description, path, digest)
SELECT id, ?, ?, ?, ? FROM containers WHERE id = ? AND {MINE}
ON CONFLICT (container_id, name) DO UPDATE SET
    description = excluded.description, path = excluded.path, digest = excluded.digest
"""


class SqlSkills(SqlPart):
    """The skills in containers."""

    async def put_skill(self, container_id: str, note: SkillNote) -> None:
        """See `SkillRows`."""
        values = (note.name, note.description, note.path, note.digest, container_id, self.tenant)
        await self._change(_PUT, values)

    async def remove_skill(self, container_id: str, name: str) -> None:
        """See `SkillRows`."""
        query = f"""
            DELETE FROM skills WHERE name = ? AND container_id IN
                (SELECT id FROM containers WHERE id = ? AND {MINE})
        """
        await self._change(query, (name, container_id, self.tenant))

    async def skills(self, container_id: str) -> list[SkillNote]:
        """See `SkillRows`."""
        query = (
            "SELECT s.name, description, path, digest FROM skills s JOIN containers c ON c.id = container_id"
            f" WHERE c.id = ? AND {MINE} ORDER BY s.name"
        )
        return [SkillNote(*row) for row in await self._all(query, (container_id, self.tenant))]
