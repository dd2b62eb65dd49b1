"""The optional parts of a backend: checkpoints, named volumes, and metering.

A backend that has one implements its protocol and sets the flag of the same name in `Capabilities`. Callers
use `snapshots_of` and `volumes_of`, which refuse a backend that lacks the part, and `metering_of`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from agent_kernel.errors import CapabilityMissing, CheckpointTooLarge
from agent_kernel.sandboxes.base import Backend, SandboxRef


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint: a copy of a sandbox's files. `size` in bytes, `created_at` in seconds since 1970."""

    id: str
    backend: str
    created_at: float
    size: int
    """Bytes beyond the image that the first sandbox started from."""
    labels: Mapping[str, str] = field(default_factory=dict)
    layers: Mapping[str, int] = field(default_factory=dict)
    """Bytes by layer, where a checkpoint consists of layers. Checkpoints may share layers."""


def total_size(snapshots: Iterable[Snapshot]) -> int:
    """Return the bytes that checkpoints take together. A shared layer counts once."""
    shared: dict[str, int] = {}
    alone = 0
    for snapshot in snapshots:
        shared.update(snapshot.layers)
        alone += 0 if snapshot.layers else snapshot.size
    return alone + sum(shared.values())


def too_large(size: int, most: int) -> CheckpointTooLarge:
    """Return the error for a checkpoint that would take more bytes than it may."""
    return CheckpointTooLarge(
        f"The checkpoint would take {size} bytes, and it may take {most}.",
        hint="Remove large files. With Docker, the holes of a sparse file count.",
    )


@dataclass(frozen=True)
class Volume:
    """A named volume, without the engine's prefix. `created_at` in seconds since 1970."""

    name: str
    backend: str
    created_at: float


@runtime_checkable
class Snapshots(Protocol):
    """Checkpoints of sandboxes."""

    async def checkpoint(
        self,
        ref: SandboxRef,
        id: str,  # noqa: A002 (the field's own word)
        labels: Mapping[str, str],
        most: int | None = None,
    ) -> Snapshot:
        """Keep the sandbox's files under `id`: the workspace, installed packages, a saved shell.

        Pause the sandbox first. Mounts of host folders are not copied. Raises `SandboxGone`, `SandboxError`
        (no space left, for example, or it would take more than `most` bytes; see `too_large`). An error or a
        cancellation leaves nothing partial behind.
        """
        ...

    async def snapshots(self, labels: Mapping[str, str] | None = None) -> list[Snapshot]:
        """Return all checkpoints that carry these labels, oldest first."""
        ...

    async def remove_snapshot(self, id: str) -> None:  # noqa: A002 (the field's own word)
        """Remove a checkpoint; sandboxes that started from it live on. A missing one is no error."""
        ...


@runtime_checkable
class RestoresInPlace(Protocol):
    """Checkpoints that can be put under a running sandbox."""

    async def put_back(self, ref: SandboxRef, id: str) -> bool:  # noqa: A002 (the field's own word)
        """Put the files of a checkpoint under a running sandbox, in place of its own, which are lost.

        Pause it first with `leaves`, and `Channel.renew` it afterwards: until then its processes have the old
        files. Returns False, and nothing has changed, where that cannot be done; then make a new sandbox.
        Raises `SandboxGone` (no such checkpoint), `SandboxError`. A cancellation is raised when it is done.
        """
        ...


@runtime_checkable
class Volumes(Protocol):
    """Named volumes: workspaces that outlive their sandboxes."""

    async def volumes(self) -> list[Volume]:
        """Return all named volumes of ours, oldest first. Raises `EngineUnavailable`."""
        ...

    async def remove_volume(self, name: str) -> None:
        """Remove a named volume with its files. A missing one is no error.

        Raises `SandboxError` while a sandbox uses it.
        """
        ...


@dataclass(frozen=True)
class ComputeUsage:
    """What a sandbox has used since its start, and the memory that it holds at this moment.

    `cpu_seconds` are those of all its processes, ended ones included, and never become fewer.
    """

    cpu_seconds: float
    memory_bytes: int
    """Bytes, without cached files that the kernel would drop first."""
    slow: bool = False
    """Whether the source takes a second or more to answer."""


@runtime_checkable
class Metering(Protocol):
    """Reads what sandboxes use from outside, so that nothing inside can change it."""

    async def usage(self, ref: SandboxRef) -> ComputeUsage | None:
        """Return what a sandbox has used; None if that cannot be read, for example because it has ended.

        Raises `SandboxError` for an engine that fails.
        """
        ...


def keeps_snapshots(backend: Backend) -> bool:
    """Return whether this backend has checkpoints."""
    return backend.capabilities().snapshots and isinstance(backend, Snapshots)


def snapshots_of(backend: Backend) -> Snapshots:
    """Return the backend's checkpoints. Raises `CapabilityMissing` if it has none."""
    if backend.capabilities().snapshots and isinstance(backend, Snapshots):
        return backend
    raise CapabilityMissing(
        f"{backend.name} sandboxes have no checkpoints.",
        hint="Use a backend that has them: AGENT_KERNEL_SANDBOX=docker or bubblewrap.",
    )


def metering_of(backend: Backend) -> Metering | None:
    """Return what meters the backend's sandboxes, None if nothing does."""
    return backend if backend.capabilities().metering and isinstance(backend, Metering) else None


def volumes_of(backend: Backend) -> Volumes:
    """Return the backend's named volumes. Raises `CapabilityMissing` if it has none."""
    if backend.capabilities().volumes and isinstance(backend, Volumes):
        return backend
    raise CapabilityMissing(
        f"{backend.name} sandboxes have no named volumes.",
        hint="Use a backend that has them: AGENT_KERNEL_SANDBOX=docker or bubblewrap.",
    )
