"""Kept skills and their versions as the API shows them."""

from __future__ import annotations

from openai.types import Skill
from openai.types.skills import SkillVersion

from agent_kernel.store.records import KeptSkillRow, SkillVersionRow


def skill_resource(row: KeptSkillRow) -> Skill:
    """Return a skill."""
    shown = row.version(row.default) or row.versions[-1]
    return Skill.construct(
        id=row.id,
        object="skill",
        created_at=int(row.created_at),
        name=shown.name,
        description=shown.description,
        default_version=str(row.default),
        latest_version=str(row.versions[-1].number),
    )


def version_resource(row: KeptSkillRow, version: SkillVersionRow) -> SkillVersion:
    """Return a version of a skill."""
    return SkillVersion.construct(
        id=version.id,
        object="skill.version",
        created_at=int(version.created_at),
        skill_id=row.id,
        version=str(version.number),
        name=version.name,
        description=version.description,
    )
