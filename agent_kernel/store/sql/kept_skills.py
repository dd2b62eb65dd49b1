"""See `KeptSkillRows`. The versions of a skill are JSON in its row, so that each change is one statement."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from agent_kernel.store.records import KeptSkillRow, SkillVersionRow
from agent_kernel.store.sql.database import MINE, SqlPart

_COLUMNS = "id, created_at, default_version, last_version, versions, revision"


class SqlKeptSkills(SqlPart):
    """The skills that users keep."""

    async def put_kept_skill(self, row: KeptSkillRow, was: int | None = None) -> bool:
        """See `KeptSkillRows`."""
        versions = json.dumps([asdict(each) for each in row.versions])
        changing = (row.default, row.last, versions, row.revision)
        if was is None:
            values = (row.id, row.created_at, *changing, self.tenant or "")
            return await self._change(
                f"INSERT INTO kept_skills ({_COLUMNS}, tenant) VALUES (?,?,?,?,?,?,?)", values
            )
        query = (
            "UPDATE kept_skills SET default_version = ?, last_version = ?, versions = ?, revision = ?"
            f" WHERE id = ? AND revision = ? AND {MINE}"
        )
        return await self._change(query, (*changing, row.id, was, self.tenant))

    async def kept_skill(self, id: str) -> KeptSkillRow | None:  # noqa: A002
        """See `KeptSkillRows`."""
        found = await self._one(
            f"SELECT {_COLUMNS} FROM kept_skills WHERE id = ? AND {MINE}", (id, self.tenant)
        )
        return _row(found) if found else None

    async def kept_skills(self) -> list[KeptSkillRow]:
        """See `KeptSkillRows`."""
        query = f"SELECT {_COLUMNS} FROM kept_skills WHERE {MINE} ORDER BY created_at, id"
        return [_row(each) for each in await self._all(query, (self.tenant,))]

    async def delete_kept_skill(self, id: str, was: int) -> bool:  # noqa: A002
        """See `KeptSkillRows`."""
        query = f"DELETE FROM kept_skills WHERE id = ? AND revision = ? AND {MINE}"
        return await self._delete(query, (id, was, self.tenant))


def _row(found: Sequence[Any]) -> KeptSkillRow:
    versions = tuple(SkillVersionRow(**each) for each in json.loads(found[4]))
    id_, created_at, default, last, _, revision = found
    return KeptSkillRow(id_, created_at, default, last, versions, revision)
