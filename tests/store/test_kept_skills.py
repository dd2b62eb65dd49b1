"""The contract of rows, for every kind of store: the skills that users keep."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agent_kernel.store.records import KeptSkillRow, SkillVersionRow
from agent_kernel.store.rows import Rows
from tests.store.conftest import Open

ONE = SkillVersionRow("skillver_1", 1, 1.5, "counting", "Zählt.", 10)
SKILL = KeptSkillRow("skill_1", 1.5, 1, 1, (ONE,))


async def test_a_skill_comes_back_as_kept(rows: Rows) -> None:
    ann = rows.of("ann")
    assert await ann.put_kept_skill(SKILL)
    assert await ann.kept_skill("skill_1") == SKILL
    changed = replace(SKILL, default=2, last=2, versions=(ONE, replace(ONE, id="v", number=2)), revision=2)
    assert await ann.put_kept_skill(changed, 1)
    assert await ann.kept_skills() == [changed]
    assert not await ann.delete_kept_skill("skill_1", 1)
    assert await ann.delete_kept_skill("skill_1", 2)
    assert await ann.kept_skill("skill_1") is None
    assert not await ann.put_kept_skill(SKILL, 1)


async def test_skills_of_others_do_not_exist(rows: Rows) -> None:
    ann, bob = rows.of("ann"), rows.of("bob")
    assert await ann.put_kept_skill(SKILL)
    assert await bob.kept_skill("skill_1") is None
    assert await bob.kept_skills() == []
    assert not await bob.put_kept_skill(replace(SKILL, revision=2), 1)
    assert not await bob.delete_kept_skill("skill_1", 1)
    assert await ann.kept_skill("skill_1") == SKILL


async def test_one_of_several_processes_changes_a_skill(opened: Open) -> None:
    others = [opened().rows for _ in range(4)]
    assert await others[0].put_kept_skill(SKILL)
    changed = [replace(SKILL, default=n, revision=2) for n in range(4)]
    done = await asyncio.gather(
        *(rows.put_kept_skill(row, 1) for rows, row in zip(others, changed, strict=True))
    )
    assert sum(done) == 1
    assert await others[0].kept_skill("skill_1") == changed[done.index(True)]
