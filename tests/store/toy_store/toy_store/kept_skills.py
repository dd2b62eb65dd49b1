"""The toy store's kept skills."""

from __future__ import annotations

from agent_kernel.store.records import KeptSkillRow

from .sessions import ToySessions


class ToySkills(ToySessions):
    async def put_kept_skill(self, row: KeptSkillRow, was: int | None = None) -> bool:
        tenant, known = self._memory.kept_skills.get(row.id, (self.tenant or "", None))
        if (known.revision if known is not None and self._sees(tenant) else None) != was:
            return False
        self._memory.kept_skills[row.id] = (tenant, row)
        return True

    async def kept_skill(self, id: str) -> KeptSkillRow | None:  # noqa: A002
        tenant, row = self._memory.kept_skills.get(id, ("", None))
        return row if self._sees(tenant) else None

    async def kept_skills(self) -> list[KeptSkillRow]:
        rows = [row for tenant, row in self._memory.kept_skills.values() if self._sees(tenant)]
        return sorted(rows, key=lambda row: (row.created_at, row.id))

    async def delete_kept_skill(self, id: str, was: int) -> bool:  # noqa: A002
        row = await self.kept_skill(id)
        return row is not None and row.revision == was and bool(self._memory.kept_skills.pop(id))
