"""The skills that are in a container: put there for a turn, or chosen by their user."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol

from agent_kernel.runtime.containers.skills.folders import MOUNTED, SkillFolders
from agent_kernel.runtime.containers.skills.skills import FOLDER, Skill, Skills, install
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.store.records import SkillNote
from agent_kernel.store.rows import Rows


class EquippedContainers(Protocol):
    """The containers that get skills."""

    def use(self, container_id: str) -> AbstractAsyncContextManager[Channel]: ...


class Equipment:
    """The skills in the containers of one tenant, whose requests may use `skills`; `folders` has them."""

    def __init__(
        self, containers: EquippedContainers, store: Rows, skills: Skills, folders: SkillFolders
    ) -> None:
        self._containers = containers
        self._store = store
        self._skills = skills
        self._folders = folders

    async def read(self, given: object, where: str) -> list[Skill]:
        """Read the `skills` of a request; see `Skills.read`."""
        return await self._skills.read(given, where)

    async def of(self, container_id: str) -> list[SkillNote]:
        """Return the skills that are in a container, by name."""
        return await self._store.skills(container_id)

    async def put(self, container_id: str, skills: Sequence[Skill]) -> None:
        """Put into a container what is not in it yet. Raises `LimitReached`, and as `Channel.put`."""
        found = await self._store.skills(container_id) if skills else []
        there = {(note.name, note.digest) for note in found}
        missing = [skill for skill in skills if (skill.note.name, skill.note.digest) not in there]
        if not missing:
            return
        async with self._containers.use(container_id) as channel:
            folder = await self._place(container_id, channel, missing)
        for skill in missing:
            note = replace(skill.note, path=f"{folder}/{skill.note.name}")
            await self._store.put_skill(container_id, note)

    async def put_exactly(self, container_id: str, given: object) -> list[SkillNote]:
        """Let a container have these `skills` of a request and no others. Return them as `of` does."""
        wanted = await self.read(given, "skills")
        await self.put(container_id, wanted)
        names = {skill.note.name for skill in wanted}
        for note in await self._store.skills(container_id):
            if note.name not in names:
                await self._remove(container_id, note)
        return await self.of(container_id)

    async def _place(self, container_id: str, channel: Channel, skills: Sequence[Skill]) -> str:
        """Write skills where the agent cannot change them, or else into its home; return that folder.

        An engine on another machine, or one that may not read the host's folder, shows nothing of it.
        """
        if await asyncio.to_thread(self._folders.mounted, container_id):
            await asyncio.to_thread(self._folders.put, container_id, skills)
            if all([await channel.list(f"{MOUNTED}/{skill.note.name}") for skill in skills]):
                return MOUNTED
        await install(channel, skills)
        return FOLDER

    async def _remove(self, container_id: str, note: SkillNote) -> None:
        if note.path.startswith(f"{MOUNTED}/"):
            await asyncio.to_thread(self._folders.remove, container_id, note.name)
        else:
            async with self._containers.use(container_id) as channel:
                for file in await channel.list(note.path):
                    await channel.remove(file.path, within=FOLDER)
        await self._store.remove_skill(container_id, note.name)


async def take_along(store: Rows, folders: SkillFolders, container_id: str, to: str) -> None:
    """Give the skills of a container to one that begins with its checkpoint. Raises `OSError`."""
    await asyncio.to_thread(folders.copy, container_id, to)
    for note in await store.skills(container_id):
        await store.put_skill(to, note)
