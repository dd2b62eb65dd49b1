"""The contract between the runtime and a sandbox backend.

A backend makes, finds and removes sandboxes and opens duplex byte streams into each. What happens *inside*
(commands, output, files) is boxd's protocol on that stream, spoken by `sandboxes.channel`, and therefore the
same under every backend. Names and labels are enough to find everything again after a crash. Checkpoints,
named volumes and metering are optional: see `sandboxes.optional`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from agent_kernel.errors import InvalidRequest
from agent_kernel.sandboxes.mounts import SKILLS, HostMount
from agent_kernel.sandboxes.network import Network

WORKSPACE = "/mnt/data"
"""The workspace of every sandbox: commands start here and uploads are here."""

MANAGED_LABEL = "agent_kernel.managed"
"""Every sandbox of ours carries this label (value "1"), so that a sweep can find it in any state."""

LEAST_MEMORY = 64 << 20
LEAST_PIDS = 16
LEAST_CPUS = 0.01
LEAST_OPEN_FILES = 64
LEAST_DISK = 16 << 20
VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")

Status = Literal["running", "dead", "unreachable"]


@dataclass(frozen=True)
class SandboxSpec:
    """A request for a sandbox. Sizes in bytes, times in seconds.

    `lease` is how long the sandbox lives on with no host attached to its stream; then it ends itself.
    `labels` must be strings; the backend adds `MANAGED_LABEL`.
    """

    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    memory: int = 1 << 30
    pids: int = 512
    lease: float = 60.0
    snapshot: str | None = None
    """The id of a checkpoint to begin with: its files, packages and shell state."""
    cpus: float | None = None
    """The most processors that it may use; None: all of the machine's."""
    open_files: int = 4096
    """The most files that one process may have open."""
    disk: int | None = None
    """Bytes by which its root file system may grow; None: no limit. Needs `Capabilities.disk_limit`."""
    volume: str | None = None
    """The named volume for its workspace. It is made if missing, and stays when the sandbox ends.

    A new volume begins with the checkpoint's workspace, if `snapshot` is given; one with files keeps its own.
    """
    keep: bool = False
    """Whether its files stay until it is deleted, if it ends by itself or from outside."""
    mounts: tuple[HostMount, ...] = ()
    """Folders of the host to read, checked by the caller. Needs `Capabilities.mounts`."""
    skills: str | None = None
    """A folder of the host for the skills of all sandboxes; None: they are copied into each sandbox.

    A backend with `Capabilities.mounts` makes `skills_folder` in it and mounts that.
    """
    network: Network | None = None
    """Its network; None: nothing listens inside and no name resolves. Needs `Capabilities.network`."""

    @property
    def skills_folder(self) -> Path | None:
        """The folder of the host with this sandbox's skills. All sandboxes of one container have the same."""
        return Path(self.skills, container_of(self.id)) if self.skills is not None else None

    @property
    def mounted(self) -> tuple[HostMount, ...]:
        """The folders of the host that it sees: `mounts`, and its skills."""
        folder = self.skills_folder
        return self.mounts if folder is None else (*self.mounts, HostMount(SKILLS, str(folder)))

    def make_skills_folder(self) -> None:
        """Make the folder of the host for its skills, if it has one. Raises `OSError`."""
        if (folder := self.skills_folder) is not None:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)

    def check(self) -> None:
        """Raise `InvalidRequest` for limits and names that no backend can honour."""
        for name, value, least in (
            ("memory", self.memory, LEAST_MEMORY),
            ("pids", self.pids, LEAST_PIDS),
            ("cpus", self.cpus, LEAST_CPUS),
            ("open_files", self.open_files, LEAST_OPEN_FILES),
            ("disk", self.disk, LEAST_DISK),
            ("lease", self.lease, 0),
        ):
            if value is not None and not least <= value < math.inf:  # nan is refused as well
                raise InvalidRequest(
                    f"A sandbox cannot have {name} = {value}; the least is {least}.", param=name
                )
        if self.volume is not None and not VOLUME_NAME.fullmatch(self.volume):
            raise InvalidRequest(f"{self.volume!r} is not a valid volume name.", param="volume")
        if self.network is not None:
            self.network.check()


def container_of(sandbox_id: str) -> str:
    """Return the id of a sandbox's container: later sandboxes of it have a dash and more behind it."""
    return sandbox_id.partition("-")[0]


@dataclass(frozen=True)
class SandboxRef:
    """A sandbox that a backend knows. `id` is the id of the spec; `labels` are those it was made with."""

    id: str
    backend: str
    status: Status
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe:
    """The result of a probe: `ok`, a sentence with the reason, and a command that fixes a failure."""

    ok: bool
    detail: str
    hint: str | None = None


@dataclass(frozen=True)
class Capabilities:
    """The optional abilities of a backend. Callers check them here and never assume one."""

    memory_limit: bool
    process_limit: bool
    isolation: str
    """`runc`, `runsc`, `kata` ... for Docker, `namespaces` for bubblewrap, `none` for no isolation."""
    cpu_limit: bool = False
    open_files_limit: bool = False
    disk_limit: bool = False
    """Known after the backend was probed or has made a sandbox."""
    snapshots: bool = False
    """Whether it has checkpoints; then it implements `optional.Snapshots`."""
    volumes: bool = False
    """Whether it has named volumes; then it implements `optional.Volumes`."""
    mounts: bool = False
    """Whether it can mount folders of the host read-only."""
    survives_out_of_memory: bool = True
    """Whether only the command is killed at the memory limit; otherwise the sandbox may end with it."""
    network: bool = False
    """Whether its sandboxes can have a `Network`: at least the proxy inside."""
    transparent_egress: bool = False
    """Whether programs that ignore the proxy variables reach names too, on the ports of the `Network`."""
    metering: bool = False
    """Whether it can tell what a sandbox uses; then it implements `optional.Metering`."""
    folder: Path | None = None
    """The folder of this machine that its sandboxes live in; None: other machines may reach them too."""
    image: str = ""
    """The image of new sandboxes; empty if there are no images."""
    image_digest: str = ""
    """Its digest. Known after the backend has reached a sandbox made from it."""


class ByteStream(Protocol):
    """One duplex stream of bytes to boxd."""

    async def read(self, limit: int) -> bytes:
        """Read up to `limit` bytes; `b""` at the end and after `aclose`. Cancelling loses no bytes."""
        ...

    async def write(self, data: bytes | memoryview) -> None:
        """Write all of `data`, waiting while the peer does not read. Raises `SandboxUnreachable`."""
        ...

    async def aclose(self) -> None:
        """Close both directions; the sandbox lives on (its lease starts to run). Idempotent."""
        ...


class Backend(Protocol):
    """One way to isolate: Docker, bubblewrap, or what another package adds (see `sandboxes.catalogue`).

    Methods may be called concurrently. Cancelling `create` removes what it has made.
    """

    name: str

    async def probe(self) -> Probe:
        """Check whether sandboxes can be made here. A missing program or image is reported, not raised."""
        ...

    async def create(self, spec: SandboxSpec) -> SandboxRef:
        """Make a sandbox and start boxd in it.

        Raises `InvalidRequest`, `EngineUnavailable`, `ImageMissing`, `IsolationUnavailable`,
        `LimitUnavailable`, `SandboxGone` (no such checkpoint), `SandboxStartFailed`; after any of them
        nothing is left behind.
        """
        ...

    async def get(self, id: str) -> SandboxRef:  # noqa: A002 (the field's own word)
        """Find a sandbox by id. Raises `SandboxGone` if it does not exist, `EngineUnavailable`."""
        ...

    async def list(self, labels: Mapping[str, str] | None = None) -> list[SandboxRef]:
        """List our sandboxes with these labels, in any state. Raises `EngineUnavailable`."""
        ...

    async def stream(self, ref: SandboxRef) -> ByteStream:
        """Open another stream to boxd. Open streams, of this process or another, are not affected.

        Raises `SandboxGone`, `SandboxUnreachable`, `EngineUnavailable`.
        """
        ...

    async def delete(self, ref: SandboxRef) -> None:
        """End every process in it and remove everything that was made for it except a named volume.

        Deleting a sandbox that is gone is no error. Raises `SandboxError` that names the remains.
        """
        ...

    def capabilities(self) -> Capabilities:
        """Return what this backend, as configured, can do."""
        ...

    async def aclose(self) -> None:
        """Release the connection to the engine; sandboxes are left as they are."""
        ...
