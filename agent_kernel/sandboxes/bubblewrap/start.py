"""The start of one sandbox: its files, its control group, its mounts, and the bwrap process."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from pathlib import Path

from agent_kernel.errors import SandboxStartFailed
from agent_kernel.sandboxes import launch
from agent_kernel.sandboxes.base import WORKSPACE, SandboxSpec
from agent_kernel.sandboxes.bubblewrap import cgroups, environments
from agent_kernel.sandboxes.bubblewrap.compiled import compiled
from agent_kernel.sandboxes.bubblewrap.folder import labels_of, note
from agent_kernel.sandboxes.bubblewrap.low_ports import open_low_ports
from agent_kernel.sandboxes.bubblewrap.process import (
    Start,
    Started,
    base_mounts,
    closing,
    isolation,
    own_devices,
    start,
)
from agent_kernel.sandboxes.bubblewrap.snapshots import PARTS, SnapshotFolders
from agent_kernel.sandboxes.bubblewrap.socket import listen, speaks
from agent_kernel.sandboxes.bubblewrap.verification import verify
from agent_kernel.sandboxes.bubblewrap.volumes import VolumeFolders
from agent_kernel.sandboxes.network import HOSTS, RESOLV_CONF
from agent_kernel.sandboxes.toolbox import HOME, MOUNT, Toolbox

PYTHON = f"{MOUNT}/bin/python3"
NAME_FILES = {"/etc/resolv.conf": RESOLV_CONF, "/etc/hosts": HOSTS}
"""The files by which programs resolve names, in a sandbox with a network."""

ENVIRONMENT = {
    "PATH": f"{environments.PACKAGES}/bin:{MOUNT}/bin:/usr/local/bin:/usr/bin:/bin",
    "HOME": HOME,
    "LANG": "C.UTF-8",
    **environments.VARIABLES,
}
"""The whole environment of bwrap, and so of the sandbox. No variable of the host is passed on."""


class SandboxStart:
    """Starts sandboxes with the programs of `toolbox`; `boxd` is the folder for its compiled modules."""

    def __init__(
        self, toolbox: Toolbox, boxd: Path, snapshots: SnapshotFolders, volumes: VolumeFolders
    ) -> None:
        self._toolbox = toolbox
        self._boxd = boxd
        self._snapshots = snapshots
        self._volumes = volumes

    def run(self, program: str, spec: SandboxSpec, folder: Path) -> None:
        """Fill the sandbox's empty folder and start bwrap on it; return when boxd answers (blocking).

        Raises `SandboxStartFailed`, `SandboxGone` (no such checkpoint), `IsolationUnavailable` (it differs
        from what was requested), `OSError`; the caller removes the sandbox.
        """
        for part in PARTS:
            (folder / part).mkdir()
        if spec.snapshot is not None:
            self._snapshots.fill(folder, spec.snapshot)
        if spec.volume is not None:
            self._volumes.attach(spec.volume, folder)
        note(folder / "spec.json", {**asdict(spec), "labels": labels_of(spec)})
        group = self._group(spec, folder)

        def place(started: Started) -> None:
            note(folder / "process.json", asdict(started))
            group.add(started.pid)
            if spec.network is not None and spec.network.ports:
                open_low_ports(started.pid)

        with listen(folder) as listening:
            where = f"fd:{listening.fileno()}"
            argv = launch.serve_argv(python=PYTHON, listen=where, lease=spec.lease, network=spec.network)
            mounts = [*self._mounts(folder, group, spec.memory), *_host_mounts(spec)]
            started = start(
                Start(
                    arguments=[program, *isolation(), *mounts, *closing(mounts), "--", *argv],
                    environment=ENVIRONMENT,
                    keep=(listening.fileno(),),
                    open_files=spec.open_files,
                    folders=sorted(set(group.folders.values())),
                    place=place,
                    ready=lambda: speaks(folder, listening),
                    files={**environments.FILES, **({} if spec.network is None else NAME_FILES)},
                )
            )
        verify(started.pid, spec, group)

    def _group(self, spec: SandboxSpec, folder: Path) -> cgroups.Group:
        """Make the sandbox's control group, and record it so that a sweep finds it.

        Its name is new each time, because the clean-up of an earlier sandbox of this id may still be running.
        """
        name = f"agent-kernel-{spec.id}-{secrets.token_hex(4)}"
        try:
            group = cgroups.create(name, cgroups.CgroupLimits(spec.memory, spec.pids, spec.cpus))
        except OSError as error:
            raise SandboxStartFailed(f"The kernel refused a limit: {error.strerror or error}.") from error
        note(folder / "group.json", group.folders)
        return group

    def _mounts(self, folder: Path, group: cgroups.Group, memory: int) -> list[str]:
        binds = [("--ro-bind", source, target) for source, target in self._toolbox.binds()]
        return [
            *base_mounts(memory, keep_local=any(s.startswith("/usr/local") for _, s, _ in binds)),
            *own_devices(folder / "dev"),
            *("--bind", str(folder / "home"), HOME),
            *(word for bind in binds for word in bind),
            *("--ro-bind", str(compiled(self._boxd)), f"{launch.HOME}/boxd"),
            *("--bind", str(folder / "workspace"), WORKSPACE),
            *("--bind", str(folder / "state"), launch.STATE),
            *(word for source, target in group.binds() for word in ("--ro-bind", source, target)),
            *("--chdir", WORKSPACE),
        ]


def _host_mounts(spec: SandboxSpec) -> list[str]:
    """Return the options for the host's folders."""
    return [word for each in spec.mounts for word in ("--ro-bind", each.source, each.target)]
