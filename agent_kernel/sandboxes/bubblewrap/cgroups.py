"""Limits without a daemon: a control group per sandbox, if this user may make one.

Both layouts work: the unified one (v2, if a service manager has delegated a subtree) and the older one with a
tree per controller (v1). If neither can be used, sandboxes have no such limits, and `doctor` says so.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")
CPU_PERIOD = 100_000
"""Microseconds. Processor time is limited per period of this length."""


@dataclass(frozen=True)
class CgroupLimits:
    """The limits of a sandbox: bytes, processes, processors. None: no limit."""

    memory: int | None = None
    pids: int | None = None
    cpus: float | None = None


@dataclass(frozen=True)
class Group:
    """One sandbox's group: a folder per controller (v1), or the same folder for all (v2).

    It has no folders if no controller can be used.
    """

    folders: dict[str, str] = field(default_factory=dict)

    def make(self, limits: CgroupLimits) -> None:
        """Make the folders, with these limits.

        Raises `OSError` if the kernel refuses a limit; no folder is left behind then.
        """
        try:
            for controller, folder in self.folders.items():
                Path(folder).mkdir(exist_ok=True)
                for file, value in _settings(controller, Path(folder), limits).items():
                    path = Path(folder) / file
                    if path.exists():
                        path.write_text(value)
        except BaseException:
            self.remove()
            raise

    def add(self, *pids: int) -> None:
        """Move processes into the group. Processes that they start later belong to it too."""
        for folder in set(self.folders.values()):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    (Path(folder) / "cgroup.procs").write_text(str(pid))

    @contextlib.contextmanager
    def doors(self) -> Iterator[list[int]]:
        """Yield descriptors by which a process can join: it writes "0" to each. Empty in the unified layout.

        The kernel moves another process only after a grace period of all processors, which takes up to 20 ms
        for each folder. A thread that moves itself does not wait.
        """
        with contextlib.ExitStack() as stack:
            folders = sorted(set(self.folders.values())) if self.is_v1() else []
            yield [stack.enter_context(open(f"{folder}/tasks", "wb", 0)).fileno() for folder in folders]

    def remove(self) -> None:
        """Remove the folders, after its processes have ended. A missing folder is no error."""
        for folder in set(self.folders.values()):
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(folder)

    def binds(self) -> list[tuple[str, str]]:
        """Pairs (source, target) of mounts that show the sandbox its limits, at the paths of a container."""
        if self.folders and not self.is_v1():
            return [(next(iter(self.folders.values())), str(ROOT))]
        return [(folder, str(ROOT / controller)) for controller, folder in self.folders.items()]

    def is_v1(self) -> bool:
        """Return whether there is a tree for each controller."""
        return any((Path(folder).parent / "tasks").exists() for folder in self.folders.values())


def available() -> set[str]:
    """Return the controllers for which this process may make groups."""
    return set(_parents())


def counts(controllers: set[str]) -> bool:
    """Return whether groups with these controllers count processor time and memory: version 2 always does."""
    return "memory" in controllers and ("cpuacct" in controllers or (ROOT / "cgroup.controllers").exists())


def named(name: str) -> Group:
    """Return the group of this name, which is not made yet."""
    return Group({controller: str(parent / name) for controller, parent in _parents().items()})


def _settings(controller: str, folder: Path, limits: CgroupLimits) -> dict[str, str]:
    """Return the files of one controller and what is written to them; swap counts as memory."""
    v1 = (folder / "tasks").exists()
    if controller == "memory" and limits.memory is not None:
        size = str(limits.memory)
        if v1:
            return {"memory.limit_in_bytes": size, "memory.memsw.limit_in_bytes": size}
        return {"memory.max": size, "memory.swap.max": "0"}
    if controller == "pids" and limits.pids is not None:
        return {"pids.max": str(limits.pids)}
    if controller == "cpu" and limits.cpus is not None:
        quota = str(int(limits.cpus * CPU_PERIOD))
        if v1:
            return {"cpu.cfs_period_us": str(CPU_PERIOD), "cpu.cfs_quota_us": quota}
        return {"cpu.max": f"{quota} {CPU_PERIOD}"}
    return {}


def _parents() -> dict[str, Path]:
    """Return, by controller, the folder below which a group can be made."""
    return _parents_of(Path("/proc/self/cgroup").read_text(), ROOT)


@lru_cache(maxsize=4)
def _parents_of(text: str, root: Path) -> dict[str, Path]:
    """See `_parents`. `text` says in which groups this process is."""
    parents: dict[str, Path] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers:
            for controller in controllers.split(","):
                folder = root / controller / path.lstrip("/")
                if controller in CONTROLLERS and os.access(folder, os.W_OK):
                    parents[controller] = folder
        else:
            for controller, folder in _unified(root, path).items():
                parents.setdefault(controller, folder)
    return parents


def _unified(root: Path, path: str) -> dict[str, Path]:
    """Return the controllers of a v2 group's parent: a group with processes may not have limited children."""
    own = root / path.lstrip("/")
    parent = own.parent if own != root else own
    try:
        enabled = (parent / "cgroup.subtree_control").read_text().split()
    except OSError:
        return {}
    if not (os.access(parent, os.W_OK) and os.access(parent / "cgroup.procs", os.W_OK)):
        return {}
    return {controller: parent for controller in CONTROLLERS if controller in enabled}
