"""The embedded backend: Linux namespaces through bubblewrap. No daemon, no image, no root.

The host opens a listening socket and gives it to boxd; the socket's path lies outside the sandbox, so nothing
inside can replace it. Any process of the user that started it can come back to the sandbox
after a crash.

What is seen inside: `/usr` read-only, a few files of `/etc`, the toolbox, `/mnt/data`, a home folder; `/tmp`
is in memory. No network device but loopback.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import json
import socket
from collections.abc import Mapping
from pathlib import Path

from agent_kernel.each import skipped
from agent_kernel.errors import (
    EngineUnavailable,
    ImageMissing,
    LimitUnavailable,
    SandboxError,
    SandboxGone,
    SandboxStartFailed,
    SandboxUnreachable,
)
from agent_kernel.sandboxes.base import (
    ByteStream,
    Capabilities,
    Probe,
    SandboxRef,
    SandboxSpec,
)
from agent_kernel.sandboxes.bubblewrap import cgroups, program
from agent_kernel.sandboxes.bubblewrap import process as bubblewrap_process
from agent_kernel.sandboxes.bubblewrap.folder import (
    FILES,
    NAME,
    find_process,
    find_sandbox,
    labels_of,
    remove_folder,
    unwritable,
)
from agent_kernel.sandboxes.bubblewrap.layers.ability import cost_of_checkpoints
from agent_kernel.sandboxes.bubblewrap.layers.namespaces import Entrance
from agent_kernel.sandboxes.bubblewrap.layers.sandbox import SandboxLayers, read_lowers
from agent_kernel.sandboxes.bubblewrap.layers.store import LayerStore
from agent_kernel.sandboxes.bubblewrap.snapshots import SnapshotFolders
from agent_kernel.sandboxes.bubblewrap.start import SandboxStart
from agent_kernel.sandboxes.bubblewrap.volumes import VolumeFolders
from agent_kernel.sandboxes.near.group_usage import read_usage
from agent_kernel.sandboxes.optional import ComputeUsage, Snapshot, Volume
from agent_kernel.sandboxes.socket_stream import SocketStream
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.sockets import reachable

PREPARE = "Prepare it with: agent-kernel image build --sandbox bubblewrap"
DYING = 1.0
"""Seconds for which a sandbox that has closed its streams may still be seen as a process."""


class BubblewrapBackend:
    """Sandboxes in folders below `data_dir`, with the programs of `toolbox`.

    All but the first are forks of a prepared parent process (see `prepared`), with `eager` the first too.
    """

    name = NAME

    def __init__(
        self, data_dir: Path, toolbox: Toolbox, *, bwrap: str | None = None, eager: bool = False
    ) -> None:
        self._root = Path(data_dir) / "sandboxes"
        self._store = LayerStore(Path(data_dir))
        self._entrance = Entrance()
        self._layers = layers = SandboxLayers(self._store, self._entrance)
        self._cleaning: set[asyncio.Task[None]] = set()
        self._snapshots = SnapshotFolders(Path(data_dir) / "snapshots", self.name, self._store, layers)
        self._volumes = VolumeFolders(Path(data_dir) / "volumes", self.name)
        self._toolbox = toolbox
        self._bwrap = bwrap
        self._start = SandboxStart(
            toolbox, Path(data_dir) / "boxd", self._snapshots, layers, self._volumes, eager=eager
        )

    async def probe(self) -> Probe:
        """Start an empty sandbox as a test, and check whether the toolbox is prepared."""
        return await asyncio.to_thread(self._probe)

    def _probe(self) -> Probe:
        try:
            bwrap = program.find(self._bwrap)
            program.check(bwrap)
        except EngineUnavailable as error:
            return Probe(False, error.message, error.hint)
        if not self._toolbox.ready():
            return Probe(False, "The toolbox (Python, pandas, matplotlib) is not prepared.", PREPARE)
        cost = cost_of_checkpoints(bwrap, self._root.parent)
        return Probe(True, f"{bwrap} makes sandboxes; the toolbox is ready. {cost}")

    async def create(self, spec: SandboxSpec) -> SandboxRef:
        """Start bwrap and wait until boxd greets; see `Backend.create`."""
        spec.check()
        _refuse_what_is_not_kept(spec)
        bwrap = await asyncio.to_thread(program.find, self._bwrap)
        if not self._toolbox.ready():
            raise ImageMissing("The toolbox for bubblewrap sandboxes is not prepared.", hint=PREPARE)
        folder = self._folder(spec.id)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.mkdir(mode=0o700)
        except FileExistsError:
            raise SandboxStartFailed(f"The sandbox {spec.id} already exists.") from None
        except OSError as error:
            raise unwritable(error) from error
        starting = asyncio.ensure_future(asyncio.to_thread(self._start.run, bwrap, spec, folder))
        try:
            await asyncio.shield(starting)
        except BaseException as error:
            await asyncio.gather(starting, return_exceptions=True)
            await asyncio.shield(asyncio.to_thread(self._remove, folder))
            if isinstance(error, OSError) and not isinstance(error, SandboxError):
                raise unwritable(error) from error
            raise
        return SandboxRef(spec.id, self.name, "running", labels_of(spec))

    def _folder(self, id: str) -> Path:  # noqa: A002
        if not id.replace("_", "").replace("-", "").isalnum():
            raise SandboxGone(f"No sandbox has the id {id!r}.")
        return self._root / id

    async def get(self, id: str) -> SandboxRef:  # noqa: A002
        """See `Backend.get`."""
        ref = await asyncio.to_thread(find_sandbox, self._folder(id))
        if ref is None:
            raise SandboxGone(f"The sandbox {id} no longer exists.")
        return ref

    async def list(self, labels: Mapping[str, str] | None = None) -> list[SandboxRef]:
        """See `Backend.list`."""
        folders = sorted(self._root.iterdir()) if self._root.exists() else []
        wanted = (labels or {}).items()
        refs = []
        for folder in folders:
            with skipped(f"The sandbox {folder.name}"):
                ref = find_sandbox(folder)
                if ref is not None and wanted <= dict(ref.labels).items():
                    refs.append(ref)
        return refs

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
        process = find_process(self._folder(ref.id))
        if process is not None and not await asyncio.to_thread(process.ends, DYING):
            raise SandboxUnreachable(
                f"The connection to the sandbox {ref.id} ended, but the sandbox is still running."
            )

    async def delete(self, ref: SandboxRef) -> None:
        """Kill process 1 of the sandbox, wait for its end, remove the folder; see `Backend.delete`."""
        folder = self._folder(ref.id)
        await asyncio.shield(asyncio.to_thread(self._remove, folder))

    def _remove(self, folder: Path) -> None:
        process = find_process(folder)
        if process is not None:
            process.end()
        else:  # its host may have been killed before it could write down the process
            for parts in _parts(folder):
                bubblewrap_process.end_unknown(str(parts / "workspace"))
        with contextlib.suppress(FileNotFoundError):
            cgroups.Group(json.loads((folder / "group.json").read_text())).remove()
        layered = bool(read_lowers(folder))
        remove_folder(folder)
        if layered:
            try:
                self._store.sweep()
            except OSError as error:
                raise SandboxError(f"Layers of {folder.name} could not be removed: {error}.") from error

    async def checkpoint(
        self,
        ref: SandboxRef,
        id: str,  # noqa: A002 (the field's own word)
        labels: Mapping[str, str],
        most: int | None = None,
    ) -> Snapshot:
        """Keep the folders that the sandbox writes to; see `Snapshots.checkpoint`."""
        folder, _ = self._folder(ref.id), self._folder(id)
        if not (folder / "spec.json").exists():
            raise SandboxGone(f"The sandbox {ref.id} no longer exists.")
        taking = asyncio.ensure_future(asyncio.to_thread(self._snapshots.take, folder, id, labels, most))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.gather(taking, return_exceptions=True)
            await self.remove_snapshot(id)
            raise
        finally:
            self._clean_soon(folder)

    def _clean_soon(self, folder: Path) -> None:
        """Remove what a step has left beside a sandbox, while the sandbox goes on."""
        task = asyncio.create_task(self._clean(folder), name="sandbox-cleaning")
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

    async def _clean(self, folder: Path) -> None:
        with skipped(f"What was left in {folder.name}"):
            await asyncio.to_thread(self._layers.clean, folder)

    async def put_back(self, ref: SandboxRef, id: str) -> bool:  # noqa: A002
        """See `RestoresInPlace.put_back`."""
        folder, _ = self._folder(ref.id), self._folder(id)
        putting = asyncio.ensure_future(asyncio.to_thread(self._snapshots.put_back, folder, id))
        try:
            return await asyncio.shield(putting)
        except asyncio.CancelledError:
            await asyncio.gather(putting, return_exceptions=True)
            raise
        finally:
            self._clean_soon(folder)

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
            network=True,
            transparent_egress=True,
            metering=cgroups.counts(controllers),
            folder=self._root.parent,
        )

    async def usage(self, ref: SandboxRef) -> ComputeUsage | None:
        """Read the counters of the sandbox's control group; see `Metering.usage`."""
        return await asyncio.to_thread(_usage, self._folder(ref.id))

    async def volumes(self) -> builtins.list[Volume]:
        """See `Backend.volumes`."""
        return await asyncio.to_thread(self._volumes.all)

    async def remove_volume(self, name: str) -> None:
        """See `Backend.remove_volume`."""
        alive = [self._folder(ref.id) for ref in await self.list() if ref.status != "dead"]
        await asyncio.to_thread(self._volumes.remove, name, [part for one in alive for part in _parts(one)])

    async def aclose(self) -> None:
        """Let the helper process end, if there is one."""
        await asyncio.gather(*self._cleaning)
        self._entrance.close()
        self._start.close()


def _usage(folder: Path) -> ComputeUsage | None:
    try:
        return read_usage(json.loads((folder / "group.json").read_text()))
    except FileNotFoundError:  # it is removed
        return None


def _parts(folder: Path) -> tuple[Path, Path]:
    """Return where a sandbox may have its workspace; those of earlier versions have it directly."""
    return folder / FILES, folder


def _refuse_what_is_not_kept(spec: SandboxSpec) -> None:
    able = {"cpus": "cpu" in cgroups.available(), "disk": False}
    for name, value in (("cpus", spec.cpus), ("disk", spec.disk)):
        if value is not None and not able[name]:
            raise LimitUnavailable(
                f"bubblewrap cannot enforce a limit on {name} here.",
                hint=f"Leave {name} out, or use Docker: AGENT_KERNEL_SANDBOX=docker",
            )
