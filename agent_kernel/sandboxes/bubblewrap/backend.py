"""The embedded backend: Linux namespaces through bubblewrap. No daemon, no image, no root.

The host opens a listening socket and gives it to boxd; the socket's path lies outside the sandbox, so nothing
inside can replace it. Whoever may connect to it (the user that started it) can come back to the sandbox after
a crash.

What is seen inside: `/usr` read-only, a few files of `/etc`, the toolbox, `/mnt/data`, a home folder; `/tmp`
is in memory. No network device but loopback.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from agent_kernel.errors import (
    EngineUnavailable,
    ImageMissing,
    LimitUnavailable,
    SandboxError,
    SandboxGone,
    SandboxStartFailed,
    SandboxUnreachable,
)
from agent_kernel.sandboxes import launch
from agent_kernel.sandboxes.base import (
    MANAGED_LABEL,
    WORKSPACE,
    ByteStream,
    Capabilities,
    Probe,
    SandboxRef,
    SandboxSpec,
    Status,
)
from agent_kernel.sandboxes.bubblewrap import cgroups
from agent_kernel.sandboxes.bubblewrap import process as bubblewrap_process
from agent_kernel.sandboxes.bubblewrap.compiled import compiled
from agent_kernel.sandboxes.bubblewrap.snapshots import PARTS, SnapshotFolders, remove_tree
from agent_kernel.sandboxes.bubblewrap.socket import START_TIMEOUT, listen, speaks
from agent_kernel.sandboxes.bubblewrap.volumes import VolumeFolders
from agent_kernel.sandboxes.optional import Snapshot, Volume
from agent_kernel.sandboxes.socket_stream import SocketStream
from agent_kernel.sandboxes.toolbox import HOME, MOUNT, Toolbox
from agent_kernel.sockets import reachable

PYTHON = f"{MOUNT}/bin/python3"
PACKAGES = f"{HOME}/packages"
ENVIRONMENT = {
    "PATH": f"{PACKAGES}/bin:{MOUNT}/bin:/usr/local/bin:/usr/bin:/bin",
    "HOME": HOME,
    "LANG": "C.UTF-8",
    "PIP_TARGET": PACKAGES,  # the toolbox is read-only; what a person installs lies at home
    "PYTHONPATH": PACKAGES,
}
"""The whole environment of bwrap, and so of the sandbox. No variable of the host is passed on."""

INSTALL = "Install bubblewrap, for instance with: apt-get install bubblewrap"
PREPARE = "Prepare it with: agent-kernel image build --sandbox bubblewrap"
MEMORY_FILES = 4
"""The share of the memory limit that /tmp may use. Files there count against the limit."""
DYING = 1.0
"""Seconds for which a sandbox that has closed its streams may still be seen as a process."""


class BubblewrapBackend:
    """Sandboxes in folders below `data_dir`, with the programs of `toolbox`."""

    name = "bubblewrap"

    def __init__(self, data_dir: Path, toolbox: Toolbox, *, bwrap: str | None = None) -> None:
        self._root = Path(data_dir) / "sandboxes"
        self._boxd = Path(data_dir) / "boxd"
        self._snapshots = SnapshotFolders(Path(data_dir) / "snapshots", self.name)
        self._volumes = VolumeFolders(Path(data_dir) / "volumes", self.name)
        self._toolbox = toolbox
        self._bwrap = bwrap

    async def probe(self) -> Probe:
        """Start an empty sandbox as a test, and check whether the toolbox is prepared."""
        return await asyncio.to_thread(self._probe)

    def _probe(self) -> Probe:
        try:
            self._try()
        except EngineUnavailable as error:
            return Probe(False, error.message, error.hint)
        if not self._toolbox.ready():
            return Probe(False, "The toolbox (Python, pandas, matplotlib) is not prepared.", PREPARE)
        return Probe(True, f"{self._program()} makes sandboxes; the toolbox is ready.")

    def _program(self) -> str:
        """Return the path of bwrap, the distribution's first because AppArmor profiles name it."""
        found = (
            self._bwrap or next(filter(os.path.exists, ("/usr/bin/bwrap",)), None) or shutil.which("bwrap")
        )
        beside = Path(sys.executable).with_name("bwrap")
        if found is None and beside.exists():
            found = str(beside)
        if found is None:
            raise EngineUnavailable("bubblewrap (bwrap) is not installed.", hint=INSTALL)
        return found

    def _try(self) -> None:
        """Raises `EngineUnavailable` if not even an empty sandbox can be made."""
        root = ("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--", "/bin/true")
        arguments = [self._program(), *bubblewrap_process.isolation(), *root]
        try:
            done = subprocess.run(
                arguments, capture_output=True, text=True, env={}, timeout=START_TIMEOUT, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineUnavailable(f"bubblewrap cannot be started: {error}.", hint=INSTALL) from error
        if done.returncode:
            raise EngineUnavailable(
                f"bubblewrap cannot make a sandbox here: {done.stderr.strip()[:300]}.",
                hint="Allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, or an AppArmor "
                "profile for bwrap), or use Docker: AGENT_KERNEL_SANDBOX=docker",
            )

    async def create(self, spec: SandboxSpec) -> SandboxRef:
        """Start bwrap and wait until boxd greets; see `Backend.create`."""
        spec.check()
        _refuse_what_is_not_kept(spec)
        program = await asyncio.to_thread(self._program)
        if not self._toolbox.ready():
            raise ImageMissing("The toolbox for bubblewrap sandboxes is not prepared.", hint=PREPARE)
        folder = self._folder(spec.id)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.mkdir(mode=0o700)
        except FileExistsError:
            raise SandboxStartFailed(f"There is a sandbox {spec.id} already.") from None
        except OSError as error:
            raise _unwritable(error) from error
        starting = asyncio.ensure_future(asyncio.to_thread(self._start, program, spec, folder))
        try:
            await asyncio.shield(starting)
        except BaseException as error:
            await asyncio.gather(starting, return_exceptions=True)
            await asyncio.shield(asyncio.to_thread(self._remove, folder))
            if isinstance(error, OSError) and not isinstance(error, SandboxError):
                raise _unwritable(error) from error
            raise
        return SandboxRef(spec.id, self.name, "running", _labels(spec))

    def _start(self, program: str, spec: SandboxSpec, folder: Path) -> None:
        for part in PARTS:
            (folder / part).mkdir()
        if spec.snapshot is not None:
            self._snapshots.fill(folder, spec.snapshot)
        if spec.volume is not None:
            self._volumes.attach(spec.volume, folder)
        _note(folder / "spec.json", {**asdict(spec), "labels": _labels(spec)})
        group = self._group(spec, folder)

        def place(started: bubblewrap_process.Started) -> None:
            _note(folder / "process.json", asdict(started))
            group.add(started.pid)

        with listen(folder) as listening:
            argv = launch.serve_argv(python=PYTHON, listen=f"fd:{listening.fileno()}", lease=spec.lease)
            mounts = [*self._mounts(folder, group, spec.memory // MEMORY_FILES), *_host_mounts(spec)]
            bubblewrap_process.start(
                bubblewrap_process.Start(
                    arguments=[program, *bubblewrap_process.isolation(), *mounts, "--", *argv],
                    environment=ENVIRONMENT,
                    keep=(listening.fileno(),),
                    open_files=spec.open_files,
                    folders=sorted(set(group.folders.values())),
                    place=place,
                    ready=lambda: speaks(folder, listening),
                )
            )

    def _group(self, spec: SandboxSpec, folder: Path) -> cgroups.Group:
        """Make the sandbox's control group, and record it so that a sweep finds it.

        Its name is new each time, because the clean-up of an earlier sandbox of this id may still be running.
        """
        name = f"agent-kernel-{spec.id}-{secrets.token_hex(4)}"
        try:
            group = cgroups.create(name, cgroups.CgroupLimits(spec.memory, spec.pids, spec.cpus))
        except OSError as error:
            raise SandboxStartFailed(f"The kernel refused a limit: {error.strerror or error}.") from error
        _note(folder / "group.json", group.folders)
        return group

    def _mounts(self, folder: Path, group: cgroups.Group, memory_files: int) -> list[str]:
        binds = [("--ro-bind", source, target) for source, target in self._toolbox.binds()]
        return [
            *bubblewrap_process.base_mounts(
                memory_files, keep_local=any(s.startswith("/usr/local") for _, s, _ in binds)
            ),
            *bubblewrap_process.own_devices(folder / "dev"),
            *("--bind", str(folder / "home"), HOME),
            *(word for bind in binds for word in bind),
            *("--ro-bind", str(compiled(self._boxd)), f"{launch.HOME}/boxd"),
            *("--bind", str(folder / "workspace"), WORKSPACE),
            *("--bind", str(folder / "state"), launch.STATE),
            *(word for source, target in group.binds() for word in ("--ro-bind", source, target)),
            *("--chdir", WORKSPACE),
        ]

    def _folder(self, id: str) -> Path:  # noqa: A002
        if not id.replace("_", "").replace("-", "").isalnum():
            raise SandboxGone(f"No sandbox has the id {id!r}.")
        return self._root / id

    async def get(self, id: str) -> SandboxRef:  # noqa: A002
        """See `Backend.get`."""
        ref = await asyncio.to_thread(_ref, self._folder(id))
        if ref is None:
            raise SandboxGone(f"The sandbox {id} does not exist any more.")
        return ref

    async def list(self, labels: Mapping[str, str] | None = None) -> list[SandboxRef]:
        """See `Backend.list`."""
        folders = sorted(self._root.iterdir()) if self._root.exists() else []
        refs = [_ref(folder) for folder in folders]
        wanted = (labels or {}).items()
        return [ref for ref in refs if ref is not None and wanted <= dict(ref.labels).items()]

    async def stream(self, ref: SandboxRef) -> ByteStream:
        """Connect to boxd's socket; see `Backend.stream`."""
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with reachable(self._folder(ref.id)) as folder:
                connected.setblocking(False)
                await asyncio.get_running_loop().sock_connect(connected, f"{folder}/socket")
        except OSError as error:
            connected.close()
            raise SandboxGone(f"The sandbox {ref.id} is gone.") from error
        except BaseException:
            connected.close()
            raise
        return await SocketStream.open(connected, lambda: self._stream_ended(ref))

    async def _stream_ended(self, ref: SandboxRef) -> None:
        """A stream ends with its sandbox, or because too many newer ones came."""
        process = _process(self._folder(ref.id))
        if process is not None and not await asyncio.to_thread(process.ends, DYING):
            raise SandboxUnreachable(f"The stream into the sandbox {ref.id} ended, but the sandbox lives on.")

    async def delete(self, ref: SandboxRef) -> None:
        """Kill process 1 of the sandbox, wait for its end, remove the folder; see `Backend.delete`."""
        folder = self._folder(ref.id)
        await asyncio.shield(asyncio.to_thread(self._remove, folder))

    def _remove(self, folder: Path) -> None:
        process = _process(folder)
        if process is not None:
            process.end()
        else:  # its host may have been killed before it could write down the process
            bubblewrap_process.end_unknown(str(folder / "workspace"))
        with contextlib.suppress(FileNotFoundError):
            cgroups.Group(json.loads((folder / "group.json").read_text())).remove()
        remove_tree(folder)

    async def checkpoint(self, ref: SandboxRef, id: str, labels: Mapping[str, str]) -> Snapshot:  # noqa: A002
        """Copy the folders that the sandbox writes to; see `Backend.checkpoint`."""
        folder, _ = self._folder(ref.id), self._folder(id)
        if not (folder / "spec.json").exists():
            raise SandboxGone(f"The sandbox {ref.id} does not exist any more.")
        taking = asyncio.ensure_future(asyncio.to_thread(self._snapshots.take, folder, id, labels))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.gather(taking, return_exceptions=True)
            await self.remove_snapshot(id)
            raise

    async def snapshots(self, labels: Mapping[str, str] | None = None) -> builtins.list[Snapshot]:
        """See `Backend.snapshots`."""
        wanted = (labels or {}).items()
        found = await asyncio.to_thread(self._snapshots.all)
        return [snapshot for snapshot in found if wanted <= dict(snapshot.labels).items()]

    async def remove_snapshot(self, id: str) -> None:  # noqa: A002
        """See `Backend.remove_snapshot`."""
        self._folder(id)
        await asyncio.to_thread(self._snapshots.remove, id)

    def capabilities(self) -> Capabilities:
        """Namespaces and a system call filter; limits where this user may make control groups."""
        controllers = cgroups.available()
        return Capabilities(
            memory_limit="memory" in controllers,
            process_limit="pids" in controllers,
            isolation="namespaces",
            open_files_limit=True,
            cpu_limit="cpu" in controllers,
            snapshots=True,
            volumes=True,
            mounts=True,
        )

    async def volumes(self) -> builtins.list[Volume]:
        """See `Backend.volumes`."""
        return await asyncio.to_thread(self._volumes.all)

    async def remove_volume(self, name: str) -> None:
        """See `Backend.remove_volume`."""
        alive = [self._folder(ref.id) for ref in await self.list() if ref.status != "dead"]
        await asyncio.to_thread(self._volumes.remove, name, alive)

    async def aclose(self) -> None:
        """Do nothing."""


def _note(path: Path, content: Mapping[str, object]) -> None:
    """Write a file atomically: others may read it at any moment, even if we are killed during the write."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.rename(path)


def _unwritable(error: OSError) -> SandboxStartFailed:
    """Make the error for a disk that is full or read-only, or a folder that is not ours."""
    return SandboxStartFailed(
        f"The sandbox's files cannot be written: {error}.",
        hint="Make room there, or set AGENT_KERNEL_DATA_DIR to a folder that can be written to.",
    )


def _refuse_what_is_not_kept(spec: SandboxSpec) -> None:
    able = {"cpus": "cpu" in cgroups.available(), "disk": False}
    for name, value in (("cpus", spec.cpus), ("disk", spec.disk)):
        if value is not None and not able[name]:
            raise LimitUnavailable(
                f"bubblewrap sandboxes cannot keep a limit on {name} here.",
                hint=f"Leave {name} out, or use Docker: AGENT_KERNEL_SANDBOX=docker",
            )


def _host_mounts(spec: SandboxSpec) -> list[str]:
    """Return the options for the host's folders, and the end of all mounts: a root that is read-only."""
    binds = [word for each in spec.mounts for word in ("--ro-bind", each.source, each.target)]
    return [*binds, "--remount-ro", "/"]


def _labels(spec: SandboxSpec) -> dict[str, str]:
    return {**spec.labels, MANAGED_LABEL: "1"}


def _ref(folder: Path) -> SandboxRef | None:
    """Return the sandbox of a folder; None if there is none, or if it is being removed at this moment."""
    try:
        labels = json.loads((folder / "spec.json").read_text())["labels"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    process = _process(folder)
    status: Status = "running" if process is not None and process.alive() else "dead"
    return SandboxRef(folder.name, BubblewrapBackend.name, status, labels)


def _process(folder: Path) -> bubblewrap_process.Started | None:
    try:
        return bubblewrap_process.Started(**json.loads((folder / "process.json").read_text()))
    except FileNotFoundError:  # its start is under way, or was cut off
        return None
