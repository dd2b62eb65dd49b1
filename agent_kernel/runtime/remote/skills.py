"""The skills that a notebook can use, on a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openai import AsyncOpenAI, omit
from openai.types import Skill
from openai.types.skills import SkillVersion

from agent_kernel.errors import NotFound
from agent_kernel.runtime.base import Order, Page
from agent_kernel.runtime.remote.errors import translated
from agent_kernel.runtime.skills.base import Given, KnownSkill, SkillThere
from agent_kernel.runtime.skills.lent import LentSkills


class RemoteSkills:
    """See `Keeps`."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    async def create(self, files: Given) -> Skill:
        """Keep a skill."""
        async with translated(self._client):
            return await self._client.skills.create(files=list(files))

    async def list(self, *, after: str | None = None, limit: int = 20, order: Order = "desc") -> Page[Skill]:
        """Return a page of the skills."""
        async with translated(self._client):
            found = await self._client.skills.list(after=after or omit, limit=limit, order=order)
        return Page(list(found.data), bool(found.has_more))

    async def delete(self, skill_id: str) -> None:
        """Delete a skill."""
        async with translated(self._client):
            await self._client.skills.delete(skill_id)

    async def add_version(self, skill_id: str, files: Given, *, default: bool = False) -> SkillVersion:
        """Keep another version."""
        async with translated(self._client):
            return await self._client.skills.versions.create(skill_id, files=list(files), default=default)


class RemoteLentSkills(LentSkills):
    """See `LendsSkills`."""

    _client: AsyncOpenAI

    @property
    def skills(self) -> RemoteSkills:
        """The skills that this key keeps."""
        return RemoteSkills(self._client)

    async def offered_skills(self) -> Sequence[KnownSkill]:
        """See `EquipsContainers`. None from a server without this extension."""
        try:
            async with translated(self._client):
                found = await self._client.get("/agent_kernel/skills", cast_to=dict[str, Any])
        except NotFound:
            return []
        return [
            KnownSkill(str(each["name"]), str(each["name"]), str(each["description"]))
            for each in found["data"]
        ]

    async def skills_in(self, container_id: str) -> Sequence[SkillThere]:
        """See `EquipsContainers`."""
        async with translated(self._client):
            return _there(await self._client.get(_place(container_id), cast_to=dict[str, Any]))

    async def equip(self, container_id: str, skills: Sequence[Mapping[str, Any]]) -> Sequence[SkillThere]:
        """See `EquipsContainers`."""
        body = {"skills": [dict(each) for each in skills]}
        async with translated(self._client):
            return _there(await self._client.post(_place(container_id), body=body, cast_to=dict[str, Any]))


def _place(container_id: str) -> str:
    return f"/containers/{container_id}/agent_kernel/skills"


def _there(found: Mapping[str, Any]) -> list[SkillThere]:
    return [
        SkillThere(str(each["name"]), str(each["description"]), str(each["path"])) for each in found["data"]
    ]
