"""Snapshots of containers: part of the contract of a runtime.

The protocol is optional: a server of the API without our extensions does not offer it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from openai.types import ContainerCreateResponse


@dataclass(frozen=True)
class ContainerSnapshot:
    """What a container held at one moment: files, shell state, and packages where the backend keeps them.

    `size` in bytes, `created_at` in seconds since 1970. Automatic snapshots are removed with their container,
    and by age and total size; others stay until they are deleted.
    """

    id: str
    container_id: str
    created_at: int
    size: int
    name: str = ""
    automatic: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {"object": "agent_kernel.snapshot", **asdict(self)}


@dataclass(frozen=True)
class RestoredContainer:
    """A container that went back to a snapshot, and what could not go back with it."""

    container: ContainerCreateResponse
    ended: Sequence[str] = ()
    """Command lines of background processes that ended, 20 at most."""
    lost: Sequence[str] = ()
    """Names of Python and R variables that are gone, 20 at most."""


@runtime_checkable
class KeepsSnapshots(Protocol):
    """Optional for `Containers`.

    All methods raise `NotFound` for an unknown container or snapshot, `CapabilityMissing` if the backend has
    no checkpoints, and `SandboxError`. Nothing is left behind after an error or a cancellation.
    """

    async def snapshot(
        self, container_id: str, *, name: str = "", automatic: bool = False
    ) -> ContainerSnapshot:
        """Keep what the container holds now. It is paused meanwhile, and continues afterwards."""
        ...

    async def snapshots(self, container_id: str) -> Sequence[ContainerSnapshot]:
        """Return the container's snapshots, oldest first."""
        ...

    async def delete_snapshot(self, container_id: str, snapshot_id: str) -> None:
        """Remove one snapshot. The container, and forks of it, stay."""
        ...

    async def restore(self, container_id: str, snapshot_id: str) -> RestoredContainer:
        """Put the container back to one of its snapshots, under its own id; later snapshots stay.

        Processes end. The Python session begins anew.
        """
        ...

    async def fork(
        self, container_id: str, *, snapshot_id: str | None = None, name: str | None = None
    ) -> ContainerCreateResponse:
        """Create a container from a snapshot of this one, or from what it holds now."""
        ...
