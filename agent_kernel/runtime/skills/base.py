"""Optional for a `Runtime`: skills that users keep, in versions.

Shapes are those of the `openai` package. All methods raise `NotFound` for an unknown id or version, and
`InvalidRequest` for wrong parameters. A version is a number as text, or `latest`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from agent_kernel.runtime.base import Order, Page
from agent_kernel.runtime.containers.skills import archive as skill_archive

if TYPE_CHECKING:
    from openai.types import Skill
    from openai.types.skills import SkillVersion

MOST_FILES = skill_archive.MOST_FILES
LARGEST = skill_archive.LARGEST_ARCHIVE
"""Bytes of what a request brings."""

Given = Sequence[tuple[str, bytes]]
"""The files of a skill by their paths, or one zip archive."""


class KeptSkills(Protocol):
    """`/v1/skills`."""

    async def create(self, files: Given) -> Skill:
        """Keep a skill; this is its version 1. Raises `TooLarge`, `LimitReached`."""
        ...

    async def list(self, *, after: str | None = None, limit: int = 20, order: Order = "desc") -> Page[Skill]:
        """Return a page of the skills."""
        ...

    async def retrieve(self, skill_id: str) -> Skill:
        """Return a skill, with name and description of its default version."""
        ...

    async def update(self, skill_id: str, params: Mapping[str, Any]) -> Skill:
        """Change the `default_version`."""
        ...

    async def delete(self, skill_id: str) -> None:
        """Delete a skill with all versions. Containers that have it keep it."""
        ...

    def content(self, skill_id: str, version: str | None = None) -> AsyncGenerator[bytes, None]:
        """Return a version as a zip archive, in chunks; None: the default. Close it when done."""
        ...

    async def add_version(self, skill_id: str, files: Given, *, default: bool = False) -> SkillVersion:
        """Keep another version. Raises `TooLarge`, `LimitReached`."""
        ...

    async def versions(
        self, skill_id: str, *, after: str | None = None, limit: int = 20, order: Order = "desc"
    ) -> Page[SkillVersion]:
        """Return a page of the versions."""
        ...

    async def retrieve_version(self, skill_id: str, version: str) -> SkillVersion:
        """Return a version."""
        ...

    async def delete_version(self, skill_id: str, version: str) -> SkillVersion:
        """Delete a version, the default one only if it is the last; that takes the skill along."""
        ...


@runtime_checkable
class KeepsSkills(Protocol):
    """A runtime that keeps skills."""

    @property
    def skills(self) -> KeptSkills:
        """The kept skills."""
        ...


@dataclass(frozen=True)
class KnownSkill:
    """A skill that a container may have. `id` names it in a `skill_reference`: the operator's by its name."""

    id: str
    name: str
    description: str
    version: str = ""
    """The default version; empty for the operator's, which have none."""


@dataclass(frozen=True)
class SkillThere:
    """A skill in a container, and its folder there."""

    name: str
    description: str
    path: str

    def to_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        shown = {"name": self.name, "description": self.description, "path": self.path}
        return {"object": "agent_kernel.container_skill", **shown}


@runtime_checkable
class EquipsContainers(Protocol):
    """A runtime that says which skills its containers have, and changes that."""

    async def offered_skills(self) -> Sequence[KnownSkill]:
        """Return the operator's skills."""
        ...

    async def skills_in(self, container_id: str) -> Sequence[SkillThere]:
        """Return the skills of a container, by name."""
        ...

    async def equip(self, container_id: str, skills: Sequence[Mapping[str, Any]]) -> Sequence[SkillThere]:
        """Let a container have these skills and no others, and return them.

        Each is written as in `skills` of a request for a container. Raises as that and `LimitReached`.
        """
        ...


@runtime_checkable
class LendsSkills(EquipsContainers, Protocol):
    """A runtime whose skills a notebook can use."""

    async def known_skills(self) -> Sequence[KnownSkill]:
        """Return the operator's skills, and those that the user keeps, newest first."""
        ...

    async def keep_skill(self, files: Given) -> KnownSkill:
        """Keep a skill; one of this name gets another version, which is its default. Raises as `create`."""
        ...

    async def delete_skill(self, skill_id: str) -> None:
        """Delete a kept skill with all versions."""
        ...
