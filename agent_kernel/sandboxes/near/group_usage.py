"""What a sandbox has used, read from its control group on the host, where nothing inside can change it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent_kernel.sandboxes.optional import ComputeUsage

ROOT = Path("/sys/fs/cgroup")


def group_of(pid: int, name: str) -> dict[str, str]:
    """Return the folders of a process's control group by controller, as the host sees them.

    Empty if the process cannot be seen from here, or if `name` is not part of the group's path: a process
    without a group of its own is in one that others share.
    """
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if name not in path:
            continue
        for controller in filter(None, controllers.split(",")):
            found[controller] = str(ROOT / controller / path.lstrip("/"))
        if not controllers:  # version 2: one folder for all
            found.setdefault("memory", str(ROOT / path.lstrip("/")))
    return found


def read_usage(folders: Mapping[str, str]) -> ComputeUsage | None:
    """Read what a group has used (blocking). None if the host does not count it, or the group is gone."""
    if "memory" not in folders:
        return None
    memory = Path(folders["memory"])
    try:
        if (memory / "memory.current").exists():
            cpu = _field(memory / "cpu.stat", "usage_usec") / 1e6
            held, idle = _number(memory / "memory.current"), _field(memory / "memory.stat", "inactive_file")
        else:
            cpu = _number(Path(folders["cpuacct"]) / "cpuacct.usage") / 1e9
            held = _number(memory / "memory.usage_in_bytes")
            idle = _field(memory / "memory.stat", "total_inactive_file")
    except (OSError, KeyError):
        return None
    return ComputeUsage(cpu, max(0, held - idle))


def _number(file: Path) -> int:
    return int(file.read_text())


def _field(file: Path, name: str) -> int:
    return int(dict(line.split() for line in file.read_text().splitlines())[name])
