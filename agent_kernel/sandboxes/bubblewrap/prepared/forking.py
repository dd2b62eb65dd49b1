"""What a prepared parent is asked for one sandbox; `program.py` reads it."""

from __future__ import annotations

import os
from pathlib import Path

from agent_kernel.sandboxes import launch, memory_files
from agent_kernel.sandboxes.base import WORKSPACE, SandboxSpec
from agent_kernel.sandboxes.bubblewrap import cgroups, seccomp
from agent_kernel.sandboxes.bubblewrap.folder import FILES
from agent_kernel.sandboxes.bubblewrap.layers.sandbox import TARGETS, read_lowers
from agent_kernel.sandboxes.bubblewrap.prepared.parent import CGROUPS, HOST
from agent_kernel.sandboxes.bubblewrap.process import DEVICES, masked, own_devices
from agent_kernel.sandboxes.mounts import PARENT, SKILLS


def targets(group: cgroups.Group) -> list[str]:
    """Return the folders on which forks mount something."""
    seen = [target for _, target in group.binds()]
    return ["/proc", *memory_files.sizes(0), *TARGETS.values(), f"{PARENT}/{SKILLS}", *seen]


def request(folder: Path, spec: SandboxSpec, group: cgroups.Group) -> dict[str, object]:
    """Return the request for a sandbox with this folder, spec and control group.

    Raises `SandboxStartFailed` if its device nodes cannot be made.
    """
    here = f"{HOST}/sandboxes/{folder.name}"
    own = own_devices(folder / "dev")
    options = launch.serve_options(listen="", lease=spec.lease, network=spec.network)
    options["environment"]["PWD"] = WORKSPACE  # as bwrap does
    binds = [(f"{here}/{FILES}/{part}", at, False) for part, at in TARGETS.items()]
    binds += [(_seen(source), target, True) for source, target in group.binds()]
    if (skills := spec.skills_folder) is not None:
        binds.append((f"{HOST}/skills/{skills.name}", f"{PARENT}/{SKILLS}", True))
    return {
        "options": options,
        "limits": {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": spec.open_files},
        "binds": binds,
        "memory": memory_files.sizes(spec.memory),
        "masked": masked(),
        "devices": f"{here}/dev" if own else f"{HOST}/dev",
        "device names": DEVICES,
        "filter": seccomp.program().hex(),
        "held": bool(read_lowers(folder)),
    }


def _seen(path: str) -> str:
    """Return where a prepared parent sees a folder of control groups."""
    return f"{HOST}/cgroup/{os.path.relpath(path, CGROUPS)}"
