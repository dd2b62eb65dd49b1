"""Skills lie in a container where nothing that runs there can change them, on every backend."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_kernel.errors import InvalidRequest, LimitReached
from agent_kernel.runtime.containers.settings import ContainerOptions
from agent_kernel.runtime.containers.skills import folders
from agent_kernel.runtime.containers.skills.folders import SkillFolders
from agent_kernel.runtime.containers.skills.skills import Skills
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.containers.lifecycle import run
from tests.runtime.containers.test_skills import COUNTING, MANIFEST, inline, zipped
from tests.runtime.played import Upstream, runtime_on

SKILL = "/mnt/skills/counting"
ATTEMPTS = [
    f"echo changed > {SKILL}/SKILL.md",
    f"echo more >> {SKILL}/scripts/count.sh",
    f"rm -f {SKILL}/SKILL.md",
    f"mv {SKILL} /mnt/skills/other",
    "mv /mnt/skills /mnt/other",
    "touch /mnt/skills/new",
    f"chmod 777 {SKILL}/SKILL.md",
    f"ln {SKILL}/SKILL.md /mnt/data/link && echo changed > /mnt/data/link",
    "umount /mnt/skills",
    "mount -o remount,rw /mnt/skills",
    "mount -t tmpfs none /mnt/skills",
]


@pytest.fixture
async def runtime(upstream: Upstream, backend: Backend, tmp_path: Path) -> AsyncIterator[LocalRuntime]:
    options = ContainerOptions(skills=SkillFolders(tmp_path.resolve() / "skills"))  # noqa: ASYNC240
    async with runtime_on(upstream.url, backend, tmp_path, container_settings=options) as runtime:
        yield runtime


async def test_an_agent_cannot_change_a_skill(runtime: LocalRuntime) -> None:
    made = (await runtime.create_container({"name": "x", "skills": [inline(COUNTING)]})).id
    (there,) = await runtime.skills_in(made)
    assert there.path == SKILL
    for attempt in ATTEMPTS:
        said = await run(runtime.containers, made, f"({attempt}) 2>/dev/null && echo done || echo refused")
        assert said == "refused\n", attempt
    assert (
        await run(runtime.containers, made, f"cat {SKILL}/SKILL.md; ls /mnt/skills")
        == MANIFEST + "counting\n"
    )
    assert await run(runtime.containers, made, f"echo a b > f; {SKILL}/scripts/count.sh f") == "2\n"
    second = zipped({"SKILL.md": MANIFEST, "new": "x"})
    await runtime.equip(made, [inline(second), inline(COUNTING, "other")])
    assert await run(runtime.containers, made, "cd /mnt/skills; find . -type f | sort") == (
        "./counting/SKILL.md\n./counting/new\n./other/SKILL.md\n./other/scripts/count.sh\n"
    ), "a container that runs has another version at once"
    assert [each.name for each in await runtime.equip(made, [inline(COUNTING, "other")])] == ["other"]
    assert await run(runtime.containers, made, "ls /mnt/skills") == "other\n"


async def test_a_fork_and_a_restored_container_have_their_skills(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> None:
    root = tmp_path.resolve() / "skills"  # noqa: ASYNC240
    options = ContainerOptions(skills=SkillFolders(root))
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path, container_settings=options) as runtime:
        made = (await runtime.create_container({"name": "x", "skills": [inline(COUNTING)]})).id
        fork = (await runtime.containers.fork(made)).id
        await runtime.equip(made, [])
        assert await run(runtime.containers, fork, "ls /mnt/skills") == "counting\n"
        snapshot = await runtime.containers.snapshot(fork)
        await runtime.containers.restore(fork, snapshot.id)
        assert await run(runtime.containers, fork, f"head -n 1 {SKILL}/SKILL.md") == "---\n"
        for each in (made, fork):
            await runtime.containers.delete(each)
        assert not list(root.iterdir())
        for kept in await runtime.containers.checkpoints.all():
            assert await runtime.containers.checkpoints.remove(kept)


async def test_where_nothing_is_mounted_skills_are_copied(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> None:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime:
        made = (await runtime.create_container({"name": "x", "skills": [inline(COUNTING)]})).id
        (there,) = await runtime.skills_in(made)
        assert there.path == "/home/agent/skills/counting"
        assert await runtime.equip(made, []) == []
        assert await run(runtime.containers, made, "find /home/agent/skills -type f") == ""


async def test_skills_of_a_container_are_limited(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "LARGEST", 1000)
    options = ContainerOptions(skills=SkillFolders(tmp_path.resolve() / "skills"))  # noqa: ASYNC240
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path, container_settings=options) as runtime:
        made = (await runtime.create_container({"name": "x", "skills": [inline(COUNTING)]})).id
        large = zipped({"SKILL.md": MANIFEST, "large": os.urandom(950)})
        with pytest.raises(LimitReached, match="skills of a container"):
            await runtime.equip(made, [inline(COUNTING), inline(large, "large")])
        assert [each.name for each in await runtime.skills_in(made)] == ["counting"]
        with pytest.raises(InvalidRequest, match="must be a list"):
            await runtime.equip(made, 7)  # type: ignore[arg-type]


def test_folders_that_are_left_over_are_swept(tmp_path: Path) -> None:
    """Only empty ones that are not new: what a killed process made for a sandbox that never was."""
    for name in ("used", "left", "new", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "skill").mkdir()
    for name in ("used", "left", "full"):
        os.utime(tmp_path / name, (time.time() - 7200,) * 2)
    SkillFolders(tmp_path).sweep({"used"})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["full", "new", "used"]
    SkillFolders().sweep(set())
    assert Skills().offered() == []
