"""A sandbox backend in one file, to test that another package can add one.

It runs boxd as a process of this user on this machine. There is NO ISOLATION: commands see the machine's
files and its network. `unshare` gives each sandbox its own process numbers, because boxd signals every
process that it sees, and its own `/mnt`, `/run` and `/tmp`. There are no checkpoints, volumes or mounts, and
no limit but open files.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from agent_kernel.errors import (
    CapabilityMissing,
    LimitUnavailable,
    SandboxError,
    SandboxGone,
    SandboxStartFailed,
    SandboxUnreachable,
)
from agent_kernel.sandboxes import launch
from agent_kernel.sandboxes.base import (
    MANAGED_LABEL,
    ByteStream,
    Capabilities,
    Probe,
    SandboxRef,
    SandboxSpec,
)
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.catalogue import BackendKind, BackendOptions
from agent_kernel.sandboxes.socket_stream import SocketStream
from agent_kernel.sockets import reachable

START_SECONDS = 30.0
DYING_SECONDS = 5.0
UNSHARE = shlex.split("unshare --user --map-root-user --mount --mount-proc --pid --fork --kill-child")


class ToyBackend:
    """Sandboxes in sub-folders of `root`."""

    name = "toy"

    def __init__(self, root: Path) -> None:
        self._root = root

    async def probe(self) -> Probe:
        """Look for `unshare`."""
        if shutil.which("unshare") is None:
            return Probe(False, "unshare is not installed.", "apt-get install util-linux")
        return Probe(True, "Processes of this user, WITHOUT ISOLATION. For tests only.")

    async def create(self, spec: SandboxSpec) -> SandboxRef:
        """Start boxd and wait until it answers."""
        spec.check()
        _refuse(spec)
        folder = self._folder(spec.id)
        try:
            folder.mkdir(parents=True, mode=0o700)
        except FileExistsError:
            raise SandboxStartFailed(f"There is a sandbox {spec.id} already.") from None
        starting = asyncio.ensure_future(asyncio.to_thread(_start, spec, folder))
        try:
            await asyncio.shield(starting)
        except BaseException:
            await asyncio.gather(starting, return_exceptions=True)
            await asyncio.to_thread(_remove, folder)
            raise
        return SandboxRef(spec.id, self.name, "running", {**spec.labels, MANAGED_LABEL: "1"})

    async def get(self, id: str) -> SandboxRef:  # noqa: A002
        """Read what was written down at its start."""
        folder = self._folder(id)
        try:
            labels = json.loads((folder / "labels.json").read_text())
        except FileNotFoundError:
            raise SandboxGone(f"The sandbox {id} does not exist.") from None
        return SandboxRef(id, self.name, "running" if _pid(folder) else "dead", labels)

    async def list(self, labels: Mapping[str, str] | None = None) -> list[SandboxRef]:
        """Return all with these labels."""
        folders = sorted(self._root.iterdir()) if self._root.exists() else []
        refs = [await self.get(folder.name) for folder in folders if (folder / "labels.json").exists()]
        return [ref for ref in refs if (labels or {}).items() <= dict(ref.labels).items()]

    async def stream(self, ref: SandboxRef) -> ByteStream:
        """Connect to boxd's socket."""
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with reachable(self._folder(ref.id)) as folder:
                connected.setblocking(False)
                await asyncio.get_running_loop().sock_connect(connected, f"{folder}/socket")
        except OSError as error:
            connected.close()
            raise SandboxGone(f"The sandbox {ref.id} is gone.") from error
        return await SocketStream.open(connected, lambda: self._ended(ref))

    async def _ended(self, ref: SandboxRef) -> None:
        if not await asyncio.to_thread(_ends, self._folder(ref.id), 1.0):
            raise SandboxUnreachable(f"The stream into {ref.id} ended, but the sandbox lives on.")

    async def delete(self, ref: SandboxRef) -> None:
        """Kill boxd, and with it every process inside, and remove the folder."""
        await asyncio.shield(asyncio.to_thread(_remove, self._folder(ref.id)))

    def capabilities(self) -> Capabilities:
        """Limits nothing but open files, and isolates nothing."""
        return Capabilities(memory_limit=False, process_limit=False, isolation="none", open_files_limit=True)

    async def aclose(self) -> None:
        """Nothing is held."""

    def _folder(self, id: str) -> Path:  # noqa: A002
        if not id.replace("_", "").replace("-", "").isalnum():
            raise SandboxGone(f"No sandbox has the id {id!r}.")
        return self._root / id


def _refuse(spec: SandboxSpec) -> None:
    for name, value in (("cpus", spec.cpus), ("disk", spec.disk)):
        if value is not None:
            raise LimitUnavailable(f"toy sandboxes cannot limit {name}.", hint=f"Leave {name} out.")
    for name, wanted in (
        ("checkpoints", spec.snapshot),
        ("volumes", spec.volume),
        ("mounts", spec.mounts or None),
    ):
        if wanted is not None:
            raise CapabilityMissing(f"toy sandboxes have no {name}.")


def _start(spec: SandboxSpec, folder: Path) -> None:
    for part in ("workspace", "home"):
        (folder / part).mkdir()
    (folder / "program").write_bytes(launch.program())
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        with reachable(folder) as short:
            listening.bind(f"{short}/socket")
        listening.listen(8)
        fd = listening.fileno()
        argv = launch.serve_argv(
            python=os.path.realpath(sys.executable), listen=f"fd:{fd}", lease=spec.lease, streamed=True
        )
        mounts = [
            f"exec 3<{shlex.quote(str(folder / 'program'))}",
            "mount -t tmpfs tmpfs /mnt && mkdir /mnt/data",
            f"mount --bind {shlex.quote(str(folder / 'workspace'))} /mnt/data",
            "mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib && cd /mnt/data",
            f"ulimit -n {spec.open_files}",
            f"mount -t tmpfs tmpfs /tmp && exec {shlex.join(argv)} <&3",
        ]
        inside = shlex.join([*UNSHARE, "sh", "-c", " && ".join(mounts)])
        # Below a shell that ends at once, so that it is not our child and outlives us until its lease ends.
        started = subprocess.run(
            ["/bin/sh", "-c", f"{inside} 2>errors >/dev/null & echo $!"],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "LANG": "C.UTF-8"},
            pass_fds=(fd,),
            start_new_session=True,
            stdout=subprocess.PIPE,
            check=True,
        )
        pid = int(started.stdout)
        (folder / "process.json").write_text(json.dumps([pid, _ticks(pid)]))
        (folder / "labels.json").write_text(json.dumps({**spec.labels, MANAGED_LABEL: "1"}))
        if not _speaks(folder, listening):
            raise SandboxStartFailed(f"boxd did not start: {(folder / 'errors').read_text().strip()}.")


def _speaks(folder: Path, listening: socket.socket) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected, reachable(folder) as short:
        connected.settimeout(START_SECONDS)
        connected.connect(f"{short}/socket")
        connected.sendall(wire.hello([]))
        listening.close()  # our copy: when boxd dies, the connection ends
        try:
            return bool(connected.recv(1))
        except OSError:
            return False


def _remove(folder: Path) -> None:
    pid = _pid(folder)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        if not _ends(folder, DYING_SECONDS):
            raise SandboxError(f"The process {pid} does not end.")
    if folder.exists():
        shutil.rmtree(folder)


def _ends(folder: Path, within: float) -> bool:
    """Wait for the end of the process, and return whether it has ended."""
    pid = _pid(folder)
    if pid is None:
        return True
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], within)[0])
    finally:
        os.close(pidfd)


def _pid(folder: Path) -> int | None:
    """Return the process's number while it runs."""
    try:
        pid, ticks = json.loads((folder / "process.json").read_text())
    except FileNotFoundError:
        return None
    return pid if ticks is not None and _ticks(pid) == ticks else None


def _ticks(pid: int) -> int | None:
    """Return when a living process was started, in the kernel's ticks; it guards against a reused number."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def make(options: BackendOptions) -> ToyBackend:
    """Return the backend, with its files in a sub-folder of the data folder."""
    return ToyBackend(options.data_dir / "toy")


KIND = BackendKind(make)
