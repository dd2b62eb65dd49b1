"""Removal of a container with its anonymous volumes, its layer and its processes (blocking calls).

Layer and processes can be checked only if the engine runs on this machine and this user may look.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import SandboxError
from agent_kernel.sandboxes.docker import engine as docker_engine
from agent_kernel.sandboxes.docker.address import Address
from agent_kernel.sandboxes.docker.container import volume_name

if TYPE_CHECKING:
    from docker import APIClient

END_SECONDS = 5.0


@dataclass(frozen=True)
class Traces:
    """The possible remains of a container: its full id, its anonymous volumes, folders of its layer."""

    container: str
    volumes: tuple[str, ...]
    folders: tuple[str, ...]
    local: bool


def traces(api: APIClient, found: Mapping[str, Any]) -> Traces:
    """Return what must be gone after the removal of a container. `found` is its inspection."""
    layer = (found.get("GraphDriver") or {}).get("Data") or {}
    volumes = [mount["Name"] for mount in found.get("Mounts") or [] if mount.get("Type") == "volume"]
    return Traces(
        container=found["Id"],
        volumes=tuple(name for name in volumes if not name.startswith(volume_name(""))),
        folders=tuple(layer[key] for key in ("UpperDir", "WorkDir") if key in layer),
        local=Address.of(api).path is not None,
    )


def remove(api: APIClient, found: Mapping[str, Any]) -> None:
    """Kill and remove a container with everything that belongs to it. Named volumes stay.

    `found` is its inspection. Returns when all of it is gone. Raises `SandboxError` that names what is left.
    """
    expected = traces(api, found)
    docker_engine.remove(api, found["Id"])
    if left := remains(api, expected):
        name = str(found["Name"]).lstrip("/")
        raise SandboxError(
            f"The engine says that it removed the container {name}, but these are left: {', '.join(left)}.",
            hint="Look into the engine's log, and remove them by hand.",
        )


def remains(api: APIClient, expected: Traces) -> list[str]:
    """Describe the remains of a container."""
    from docker.errors import NotFound

    left = []
    if docker_engine.inspect(api, expected.container) is not None:
        left.append(f"container {expected.container[:12]}")
    for volume in expected.volumes:
        with contextlib.suppress(NotFound):
            api.inspect_volume(volume)
            left.append(f"volume {volume}")
    if expected.local:
        left += layers(expected)
        left += [f"process {pid}" for pid in processes(expected.container) if not _ends(pid)]
    return left


def layers(expected: Traces) -> list[str]:
    """Return the remaining folders of its layer that this user can see."""
    return [f"layer {folder}" for folder in expected.folders if os.path.exists(folder)]


def processes(container: str) -> list[int]:
    """Return the living processes in the container's control groups that this user can see."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cgroup") as groups, open(f"/proc/{name}/stat") as stat:
                    ended = stat.read().rpartition(")")[2].split()[0] in ("Z", "X")
                    if container in groups.read() and not ended:
                        found.append(int(name))
            except OSError:  # it ended while we looked
                continue
    return found


def _ends(pid: int) -> bool:
    """Return whether the process ends soon: a runtime's helpers outlive their container for a moment."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], END_SECONDS)[0])
    finally:
        os.close(pidfd)
