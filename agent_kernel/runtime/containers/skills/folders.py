"""The skills of containers as folders of the host, which their sandboxes see read-only.

Each container has one folder, named as its id: the backend makes it with the container's first sandbox, and
mounts it in each of them. A skill is written beside it and renamed into it, so that a program inside sees all
of a skill or nothing. Nothing that runs in a sandbox can write there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from agent_kernel.errors import LimitReached
from agent_kernel.runtime.containers.skills.archive import SkillFile
from agent_kernel.runtime.containers.skills.skills import Skill
from agent_kernel.sandboxes.mounts import PARENT, SKILLS

MOUNTED = f"{PARENT}/{SKILLS}"
"""Where sandboxes see the folder."""

LARGEST = 500 << 20
"""Bytes of all skills of one container."""

_NEW = "new."
_UNUSED = 3600.0
"""Seconds after which a folder without a container is left over. Before, its sandbox may be starting."""


class SkillFolders:
    """The folders below `root`, each a container's. All methods block: call them from a thread.

    Without a root there are none, and skills are copied into each container.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root

    def mounted(self, container_id: str) -> bool:
        """Return whether the sandboxes of a container see its folder."""
        return self.root is not None and self._of(container_id).is_dir()

    def put(self, container_id: str, skills: Sequence[Skill]) -> None:
        """Write skills, each in place of an earlier one of its name. Raises `LimitReached`, `OSError`."""
        folder = self._of(container_id)
        names = {skill.note.name for skill in skills}
        kept = sum(_size(each) for each in folder.iterdir() if each.name not in names)
        if kept + sum(len(file.content) for skill in skills for file in skill.files.values()) > LARGEST:
            raise LimitReached(
                f"The skills of a container may have {LARGEST >> 20} MiB.",
                hint="Use fewer skills at once.",
                code="skills_limit_reached",
            )
        for skill in skills:
            made = Path(tempfile.mkdtemp(prefix=_NEW, dir=self.root))
            try:
                for path, file in skill.files.items():
                    _write(made / "skill" / path, file)
                for each in (made / "skill", *(made / "skill").rglob("*/")):
                    each.chmod(0o755)
                self.remove(container_id, skill.note.name)
                os.rename(made / "skill", folder / skill.note.name)
            finally:
                shutil.rmtree(made)

    def remove(self, container_id: str, name: str) -> None:
        """Remove a skill, if it is there."""
        try:
            shutil.rmtree(self._of(container_id) / name)
        except FileNotFoundError:
            return

    def copy(self, container_id: str, to: str) -> None:
        """Give a container what another one has, if both have folders. Raises `OSError`."""
        if self.mounted(container_id) and self.mounted(to):
            shutil.copytree(self._of(container_id), self._of(to), dirs_exist_ok=True)

    def forget(self, container_id: str) -> None:
        """Remove the folder of a container, if there is one."""
        if self.root is not None:
            shutil.rmtree(self._of(container_id), ignore_errors=True)

    def sweep(self, used: Collection[str]) -> None:
        """Remove empty folders that are left over: of no container with a sandbox, in `used`, and not new."""
        found = list(self.root.iterdir()) if self.root is not None and self.root.is_dir() else []
        for each in found:
            if each.name not in used and each.stat().st_mtime < time.time() - _UNUSED:
                with suppress(OSError):  # it is not empty
                    each.rmdir()

    def _of(self, container_id: str) -> Path:
        assert self.root is not None  # noqa: S101 (`mounted` says so)
        return self.root / container_id


def _write(path: Path, file: SkillFile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.content)
    path.chmod(0o755 if file.executable else 0o644)


def _size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
