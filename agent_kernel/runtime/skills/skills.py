"""The kept skills of one tenant: versions as rows, their archives as blobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from openai.types import Skill
from openai.types.skills import SkillVersion

from agent_kernel.errors import InvalidRequest, LimitReached, NotFound
from agent_kernel.protocol import ids
from agent_kernel.protocol.validation import shortened
from agent_kernel.runtime.access.quota import Quota
from agent_kernel.runtime.base import Order, Page
from agent_kernel.runtime.containers.skills.archive import Files, unzipped
from agent_kernel.runtime.paging import Asked, page
from agent_kernel.runtime.skills.base import Given
from agent_kernel.runtime.skills.reading import ReadSkill, number_of, read_skill
from agent_kernel.runtime.skills.resources import skill_resource, version_resource
from agent_kernel.store.blobs import Blobs
from agent_kernel.store.records import KeptSkillRow, SkillVersionRow
from agent_kernel.store.rows import Rows

MOST_SKILLS = 500
"""Skills of one key."""
MOST_VERSIONS = 100
"""Versions of one skill."""


class LocalSkills:
    """See `KeptSkills`. Each change begins with what is there, also if another process changes it too."""

    def __init__(self, rows: Rows, blobs: Blobs, quota: Quota) -> None:
        self._rows = rows
        self._blobs = blobs
        self._quota = quota

    # -- skills

    async def create(self, files: Given) -> Skill:
        """See `KeptSkills`."""
        read = await asyncio.to_thread(read_skill, files)
        if len(await self._rows.kept_skills()) >= MOST_SKILLS:
            raise _full(f"This key keeps {MOST_SKILLS} skills, the most that it may.")
        version = await self._keep(read)
        row = KeptSkillRow(ids.skill_id(), version.created_at, 1, 1, (version,))
        await self._put_or_drop(row, None, version)
        return skill_resource(row)

    async def list(self, *, after: str | None = None, limit: int = 20, order: Order = "desc") -> Page[Skill]:
        """See `KeptSkills`."""
        found = await page(await self._rows.kept_skills(), Asked(after, limit, order))
        return Page([skill_resource(row) for row in found.data], found.has_more)

    async def retrieve(self, skill_id: str) -> Skill:
        """See `KeptSkills`."""
        return skill_resource(await self._row(skill_id))

    async def update(self, skill_id: str, params: Mapping[str, Any]) -> Skill:
        """See `KeptSkills`."""
        while True:
            row = await self._row(skill_id)
            version = _version(row, params.get("default_version"), "default_version")
            changed = replace(row, default=version.number, revision=row.revision + 1)
            if await self._rows.put_kept_skill(changed, row.revision):
                return skill_resource(changed)

    async def delete(self, skill_id: str) -> None:
        """See `KeptSkills`."""
        while True:
            row = await self._row(skill_id)
            if await self._rows.delete_kept_skill(row.id, row.revision):
                break
        for version in row.versions:
            await self._blobs.delete(version.id)

    async def content(self, skill_id: str, version: str | None = None) -> AsyncGenerator[bytes, None]:
        """See `KeptSkills`."""
        found = _version(await self._row(skill_id), version)
        async with aclosing(self._blobs.get(found.id)) as chunks:
            async for chunk in chunks:
                yield chunk

    # -- versions

    async def add_version(self, skill_id: str, files: Given, *, default: bool = False) -> SkillVersion:
        """See `KeptSkills`."""
        await self._row(skill_id)
        kept = await self._keep(await asyncio.to_thread(read_skill, files))
        try:
            while True:
                row = await self._row(skill_id)
                if len(row.versions) >= MOST_VERSIONS:
                    raise _full(f"The skill {row.id} has {MOST_VERSIONS} versions, the most that it may.")
                version = replace(kept, number=row.last + 1)
                changed = replace(
                    row,
                    default=version.number if default else row.default,
                    last=version.number,
                    versions=(*row.versions, version),
                    revision=row.revision + 1,
                )
                if await self._rows.put_kept_skill(changed, row.revision):
                    return version_resource(changed, version)
        except BaseException:
            await self._blobs.delete(kept.id)
            raise

    async def versions(
        self, skill_id: str, *, after: str | None = None, limit: int = 20, order: Order = "desc"
    ) -> Page[SkillVersion]:
        """See `KeptSkills`."""
        row = await self._row(skill_id)
        found = await page(row.versions, Asked(after, limit, order))
        return Page([version_resource(row, each) for each in found.data], found.has_more)

    async def retrieve_version(self, skill_id: str, version: str) -> SkillVersion:
        """See `KeptSkills`."""
        row = await self._row(skill_id)
        return version_resource(row, _version(row, version))

    async def delete_version(self, skill_id: str, version: str) -> SkillVersion:
        """See `KeptSkills`."""
        while True:
            row = await self._row(skill_id)
            gone = _version(row, version)
            left = tuple(each for each in row.versions if each != gone)
            if left and gone.number == row.default:
                raise InvalidRequest(
                    f"Version {gone.number} is the default version of {row.id}.",
                    hint="Make another version the default one first.",
                    param="version",
                )
            changed = replace(row, versions=left, revision=row.revision + 1)
            if await (
                self._rows.put_kept_skill(changed, row.revision)
                if left
                else self._rows.delete_kept_skill(row.id, row.revision)
            ):
                await self._blobs.delete(gone.id)
                return version_resource(row, gone)

    # -- for containers

    async def find(self, skill_id: str, version: object) -> tuple[SkillVersionRow, Files]:
        """Return a version with its files; None: the default. Raises `NotFound`, `InvalidRequest`."""
        found = _version(await self._row(skill_id), version)
        async with aclosing(self._blobs.get(found.id)) as chunks:
            data = b"".join([chunk async for chunk in chunks])
        return found, await asyncio.to_thread(unzipped, data, "skills")

    # -- rows

    async def _row(self, skill_id: str) -> KeptSkillRow:
        row = await self._rows.kept_skill(skill_id)
        if row is None:
            raise NotFound(f"No such skill: {shortened(skill_id)}.", param="skill_id")
        return row

    async def _keep(self, read: ReadSkill) -> SkillVersionRow:
        """Keep the archive of a version. Raises `LimitReached`."""
        most = self._quota.limits.stored_bytes
        if most is not None:
            kept = [each.bytes for row in await self._rows.kept_skills() for each in row.versions]
            if sum(kept) + await self._rows.stored_bytes() + len(read.archive) > most:
                raise self._quota.too_many_bytes()
        row = SkillVersionRow(
            ids.skill_version_id(), 1, time.time(), read.name, read.description, len(read.archive)
        )
        await self._blobs.put(row.id, _once(read.archive))
        return row

    async def _put_or_drop(self, row: KeptSkillRow, was: int | None, version: SkillVersionRow) -> None:
        try:
            await self._rows.put_kept_skill(row, was)
        except BaseException:
            await self._blobs.delete(version.id)
            raise


def _version(row: KeptSkillRow, given: object, param: str = "version") -> SkillVersionRow:
    """Return a version of a skill. Raises `NotFound`, `InvalidRequest`."""
    number = number_of(given, param)
    if number == "latest":
        return row.versions[-1]
    found = row.version(row.default if number is None else number)
    if found is None:
        raise NotFound(f"The skill {row.id} has no version {number}.", param=param)
    return found


def _full(why: str) -> LimitReached:
    return LimitReached(why, hint="Delete some that you no longer need.", code="skills_limit_reached")


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content
