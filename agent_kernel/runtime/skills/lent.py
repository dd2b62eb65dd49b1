"""The skills that a notebook can use; the same for this process and for a server."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from agent_kernel.runtime.base import Order, Page
from agent_kernel.runtime.skills.base import Given, KnownSkill

if TYPE_CHECKING:
    from openai.types import Skill
    from openai.types.skills import SkillVersion

_MOST = 100


class Keeps(Protocol):
    """The part of `KeptSkills` that a notebook needs."""

    async def create(self, files: Given) -> Skill: ...

    async def list(
        self, *, after: str | None = None, limit: int = 20, order: Order = "desc"
    ) -> Page[Skill]: ...

    async def delete(self, skill_id: str) -> None: ...

    async def add_version(self, skill_id: str, files: Given, *, default: bool = False) -> SkillVersion: ...


class LentSkills:
    """See `LendsSkills`."""

    @property
    @abstractmethod
    def skills(self) -> Keeps:
        """The skills that the user keeps."""
        ...

    @abstractmethod
    async def offered_skills(self) -> Sequence[KnownSkill]:
        """See `EquipsContainers`."""
        ...

    async def known_skills(self) -> Sequence[KnownSkill]:
        """See `LendsSkills`."""
        found, after = list(await self.offered_skills()), None
        while True:
            page = await self.skills.list(after=after, limit=_MOST)
            found += [
                KnownSkill(each.id, each.name, each.description, each.default_version) for each in page.data
            ]
            if not page.has_more:
                return found
            after = page.data[-1].id

    async def keep_skill(self, files: Given) -> KnownSkill:
        """See `LendsSkills`."""
        earlier = {each.name: each.id for each in await self.known_skills() if each.version}
        made = await self.skills.create(files)
        same = earlier.get(made.name)
        if same is None:
            return KnownSkill(made.id, made.name, made.description, made.default_version)
        try:
            version = await self.skills.add_version(same, files, default=True)
        finally:
            await self.skills.delete(made.id)
        return KnownSkill(same, version.name, version.description, version.version)

    async def delete_skill(self, skill_id: str) -> None:
        """See `LendsSkills`."""
        await self.skills.delete(skill_id)
