"""The start of one sandbox: its files, its control group, its mounts, and the bwrap process."""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agent_kernel.errors import SandboxStartFailed
from agent_kernel.sandboxes import launch
from agent_kernel.sandboxes.base import WORKSPACE, SandboxSpec
from agent_kernel.sandboxes.bubblewrap import cgroups, environments
from agent_kernel.sandboxes.bubblewrap.compiled import compiled
from agent_kernel.sandboxes.bubblewrap.folder import FILES, labels_of, note
from agent_kernel.sandboxes.bubblewrap.layers.namespaces import LayersBusy, LayersUnavailable
from agent_kernel.sandboxes.bubblewrap.layers.sandbox import (
    PARTS,
    TARGETS,
    SandboxLayers,
    read_lowers,
    write_lowers,
)
from agent_kernel.sandboxes.bubblewrap.low_ports import open_low_ports
from agent_kernel.sandboxes.bubblewrap.prepared import forking as prepared
from agent_kernel.sandboxes.bubblewrap.prepared.parent import (
    Configuration,
    Fork,
    Forking,
    Parents,
    ParentUnavailable,
)
from agent_kernel.sandboxes.bubblewrap.process import (
    ACCOUNTS,
    LOCAL,
    Start,
    Started,
    closing,
    isolation,
    kernel_mounts,
    own_devices,
    start,
    system_mounts,
)
from agent_kernel.sandboxes.bubblewrap.snapshots import SnapshotFolders
from agent_kernel.sandboxes.bubblewrap.socket import START_TIMEOUT, listen, speaks
from agent_kernel.sandboxes.bubblewrap.trees import remove_tree
from agent_kernel.sandboxes.bubblewrap.verification import verify
from agent_kernel.sandboxes.bubblewrap.volumes import VolumeFolders
from agent_kernel.sandboxes.network import HOSTS, RESOLV_CONF
from agent_kernel.sandboxes.toolbox import HOME, MOUNT, Toolbox

log = logging.getLogger(__name__)

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


@dataclass
class Hold:
    """Keeps process 1 of a sandbox from running anything until `then` is done, if there are sockets."""

    ours: socket.socket | None
    theirs: socket.socket | None
    then: Callable[[], None]

    @property
    def fd(self) -> int | None:
        """The descriptor that the sandbox inherits."""
        return None if self.theirs is None else self.theirs.fileno()

    def passed(self) -> bool:
        """Wait for process 1, do what is to be done, and let it go on. False if it has ended."""
        if self.ours is None or self.theirs is None:
            return True
        self.theirs.close()  # so that the sandbox has the last one
        self.ours.settimeout(START_TIMEOUT)
        try:
            if not self.ours.recv(1):
                return False
            self.then()
            self.ours.sendall(b"1")
        except OSError:
            return False
        return True


@dataclass(frozen=True)
class _Parts:
    """What a start is about. Its control group has a name only, at first."""

    program: str
    spec: SandboxSpec
    folder: Path
    group: cgroups.Group

    def make_group(self) -> None:
        """Make the control group. Raises `SandboxStartFailed`."""
        spec = self.spec
        try:
            self.group.make(cgroups.CgroupLimits(spec.memory, spec.pids, spec.cpus))
        except OSError as error:
            raise SandboxStartFailed(f"The kernel refused a limit: {error.strerror or error}.") from error

    def place(self, started: Started, *, joins: bool = False) -> None:
        """Write process 1 down, and put it where it belongs, unless it `joins` its control group itself."""
        note(self.folder / "process.json", asdict(started))
        if not joins:
            self.group.add(started.pid)
        if self.spec.network is not None and self.spec.network.ports:
            open_low_ports(started.pid)


class SandboxStart:
    """Starts sandboxes with the programs of `toolbox`; `boxd` is the folder for its compiled modules."""

    def __init__(
        self,
        toolbox: Toolbox,
        boxd: Path,
        snapshots: SnapshotFolders,
        layers: SandboxLayers,
        volumes: VolumeFolders,
        *,
        eager: bool,
    ) -> None:
        self._toolbox = toolbox
        self._boxd = boxd
        self._snapshots = snapshots
        self._layers = layers
        self._volumes = volumes
        self._parents = Parents(eager=eager)

    def close(self) -> None:
        """Let the prepared parents go. Sandboxes live on."""
        self._parents.close()

    def run(self, program: str, spec: SandboxSpec, folder: Path) -> None:
        """Fill the sandbox's empty folder and start bwrap on it; return when boxd answers (blocking).

        Raises `SandboxStartFailed`, `SandboxGone` (no such checkpoint), `IsolationUnavailable` (it differs
        from what was requested), `OSError`; the caller removes the sandbox.
        """
        parts = _Parts(program, spec, folder, _named_group(spec, folder))
        with self._forking(parts) as forking:
            self._fill(spec, folder)
            spec.make_skills_folder()
            note(folder / "spec.json", {**asdict(spec), "labels": labels_of(spec)})
            with listen(folder) as listening, self._holding(folder) as hold:
                started = None if forking is None else self._forked(forking, parts, listening, hold)
                if started is None:
                    if forking is not None:  # the group of a fork is being removed
                        parts = replace(parts, group=_named_group(spec, folder))
                    started = self._begun(parts, listening, hold)
        verify(started.pid, spec, parts.group)

    @contextlib.contextmanager
    def _forking(self, parts: _Parts) -> Iterator[Forking | None]:
        """Let a prepared parent fork, while what the sandbox needs is prepared. None if there is none."""
        spec = parts.spec
        parent = None
        if spec.volume is None and not spec.mounts:  # a parent does not have these folders
            kind = (spec.network is not None, spec.skills)
            parent = self._parents.get(kind, lambda: self._configuration(parts))
        with contextlib.ExitStack() as stack:
            forking = None
            if parent is not None:
                try:
                    forking = stack.enter_context(parent.forking(sorted(set(parts.group.folders.values()))))
                except ParentUnavailable as reason:
                    self._parents.refused(parent, reason)
            yield forking

    def _forked(
        self, forking: Forking, parts: _Parts, listening: socket.socket, hold: Hold
    ) -> Started | None:
        """Make a fork the sandbox. None if it could not become one."""
        folder = parts.folder

        @contextlib.contextmanager
        def place(started: Started) -> Iterator[list[int]]:
            parts.make_group()  # from now on the parent removes it, even if we are killed
            with parts.group.doors() as doors:
                parts.place(started, joins=bool(doors))
                yield doors

        try:
            return forking.led(
                Fork(
                    request=prepared.request(folder, parts.spec, parts.group),
                    listening=listening.fileno(),
                    place=place,
                    then=None if hold.ours is None else hold.then,
                    ready=lambda: speaks(folder, listening),
                )
            )
        except ParentUnavailable as reason:
            self._parents.refused(forking.parent, reason)
            parts.group.remove()
            remove_tree(folder / "dev")
            return None

    def _begun(self, parts: _Parts, listening: socket.socket, hold: Hold) -> Started:
        """Start a sandbox through bwrap."""
        spec, folder = parts.spec, parts.folder
        argv = launch.serve_argv(
            python=PYTHON,
            listen=f"fd:{listening.fileno()}",
            lease=spec.lease,
            network=spec.network,
            held=hold.fd,
        )
        mounts = [*self._mounts(folder, parts.group, spec.memory), *_host_mounts(spec)]
        return start(
            Start(
                arguments=[parts.program, *isolation(), *mounts, *closing(mounts), "--", *argv],
                environment=ENVIRONMENT,
                keep=(listening.fileno(), *([] if hold.fd is None else [hold.fd])),
                open_files=spec.open_files,
                folders=sorted(set(parts.group.folders.values())),
                make=parts.make_group,
                place=parts.place,
                ready=lambda: hold.passed() and speaks(folder, listening),
                files=_files(spec.network is not None),
            )
        )

    def _configuration(self, parts: _Parts) -> Configuration:
        """Return what all sandboxes of a parent have in common."""
        network = parts.spec.network is not None
        system = self._system()
        made = [LOCAL] if LOCAL in system else []
        return Configuration(
            bwrap=parts.program,
            mounts=[*system, *(word for path in made for word in ("--remount-ro", path))],
            files=_files(network),
            targets=prepared.targets(parts.group),
            python=PYTHON,
            environment=ENVIRONMENT,
            sandboxes=parts.folder.parent,
            skills=parts.spec.skills,
            network=network,
        )

    def _fill(self, spec: SandboxSpec, folder: Path) -> None:
        """Make the folders that the sandbox writes to, with what they begin with."""
        for part in PARTS:
            (folder / FILES / part).mkdir(parents=True)
        if spec.volume is None:
            write_lowers(folder, ())
        if spec.snapshot is not None:
            self._snapshots.fill(folder, spec.snapshot, layered=spec.volume is None)
        else:
            for name, file in self._toolbox.home_files().items():
                (folder / FILES / "home" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, folder / FILES / "home" / name)
        if spec.volume is not None:
            self._volumes.attach(spec.volume, folder / FILES)

    @contextlib.contextmanager
    def _holding(self, folder: Path) -> Iterator[Hold]:
        """Hold a sandbox that has layers until they are under it."""
        if not read_lowers(folder):
            yield Hold(None, None, lambda: None)
            return
        ours, theirs = socket.socketpair()
        with ours, theirs:
            yield Hold(ours, theirs, lambda: self._put_layers(folder))

    def _put_layers(self, folder: Path) -> None:
        """Put the layers of a checkpoint under the sandbox, or copy them where that cannot be done."""
        try:
            self._layers.begin(folder)
        except (LayersBusy, LayersUnavailable) as reason:
            log.debug("The sandbox %s begins with a copy: %s.", folder.name, reason)
            self._snapshots.unlayer(folder)

    def _mounts(self, folder: Path, group: cgroups.Group, memory: int) -> list[str]:
        return [
            *self._system(),
            *kernel_mounts(memory),
            *own_devices(folder / "dev"),
            *(word for part, at in TARGETS.items() for word in ("--bind", str(folder / FILES / part), at)),
            *(word for source, target in group.binds() for word in ("--ro-bind", source, target)),
            *("--chdir", WORKSPACE),
        ]

    def _system(self) -> list[str]:
        """Return the options for what is read-only and the same in all sandboxes."""
        binds = [*self._toolbox.binds(), (str(compiled(self._boxd)), f"{launch.HOME}/boxd")]
        return [
            *system_mounts(keep_local=any(source.startswith(LOCAL) for source, _ in binds)),
            *(word for source, target in binds for word in ("--ro-bind", source, target)),
        ]


def _named_group(spec: SandboxSpec, folder: Path) -> cgroups.Group:
    """Choose the sandbox's control group, and record it so that a sweep finds it.

    Its name is new each time, because the clean-up of an earlier sandbox of this id may still be running.
    """
    group = cgroups.named(f"agent-kernel-{spec.id}-{secrets.token_hex(4)}")
    note(folder / "group.json", group.folders)
    return group


def _files(network: bool) -> dict[str, bytes]:
    """Return the files that are added to the system."""
    return {**ACCOUNTS, **environments.FILES, **(NAME_FILES if network else {})}


def _host_mounts(spec: SandboxSpec) -> list[str]:
    """Return the options for the host's folders."""
    return [word for each in spec.mounted for word in ("--ro-bind", each.source, each.target)]
