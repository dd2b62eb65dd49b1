"""Snapshots of the containers of one tenant; see `runtime.snapshots.KeepsSnapshots`."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from agent_kernel.errors import CheckpointTooLarge, LimitReached, NotFound, SandboxError
from agent_kernel.runtime.access.quota import Quota
from agent_kernel.runtime.containers.attachment import Attachment
from agent_kernel.runtime.containers.checkpoints import (
    TITLE_LABEL,
    Checkpoints,
    Kind,
    container_of,
    kind_of,
)
from agent_kernel.runtime.containers.snapshots.steady import held, in_use
from agent_kernel.runtime.snapshots import ContainerSnapshot
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.optional import Snapshot
from agent_kernel.store.rows import Rows

log = logging.getLogger(__name__)

PRUNING = 60.0
"""Seconds after which the next automatic snapshot prunes again."""

SHARE = 20
"""Automatic snapshots prune once they have taken one part in so many of the total size."""


class Attached(Protocol):
    """The containers, as far as snapshots need them."""

    def use(self, container_id: str, *, to_run: bool = False) -> AbstractAsyncContextManager[Channel]:
        """See `LocalContainers.use`."""
        ...

    def attachment(self, container_id: str) -> Attachment:
        """Return what this process holds of a container."""
        ...


class KeptSnapshots:
    """The snapshots of the containers in `rows`, within the limits of `allowance`."""

    def __init__(self, containers: Attached, checkpoints: Checkpoints, rows: Rows, allowance: Quota) -> None:
        self._containers = containers
        self._checkpoints = checkpoints
        self._store = rows
        self._allowance = allowance

    async def take(self, container_id: str, kind: Kind, title: str = "", *, idle: bool = False) -> Snapshot:
        """Keep what a container holds now. `idle` refuses one in which something runs.

        Raises `NotFound`, `SandboxBusy`, `LimitReached` if the key may not store it, `SandboxError`.
        """
        async with self._held(container_id) as channel:
            attachment = self._containers.attachment(container_id)
            if idle and (attachment.turns or not await channel.pause(idle=True)):
                raise in_use(container_id)
            row = await self._store.container(container_id)
            if row is None:
                raise _no_container(container_id)
            if kind == "explicit" and await self._checkpoints.room(row.tenant) == 0:
                raise self._allowance.too_many_bytes()
            try:
                made = await self._checkpoints.take(row, channel, kind, title)
            except CheckpointTooLarge as error:
                if self._allowance.limits.stored_bytes is None:
                    raise
                raise self._too_large(error) from error
        if await self._store.container(container_id) is None:  # it was deleted meanwhile
            if kind != "explicit":
                await self._checkpoints.remove(made)
            raise _no_container(container_id)
        if kind == "automatic":
            await self._prune(made)
        return made

    def _too_large(self, error: CheckpointTooLarge) -> LimitReached:
        limit = self._allowance.too_many_bytes()
        return LimitReached(f"{error.message} {limit.message}", hint=limit.hint, code=limit.request_code)

    @asynccontextmanager
    async def _held(self, container_id: str) -> AsyncGenerator[Channel, None]:
        if await self._store.container(container_id) is None:
            raise _no_container(container_id)
        async with (
            held(self._containers.attachment(container_id).changing, container_id),
            self._containers.use(container_id) as channel,
        ):
            yield channel

    async def _prune(self, made: Snapshot) -> None:
        """Prune now and then. A failure is logged, because the snapshot was taken."""
        if not self._checkpoints.pruning_due(made.size, PRUNING, SHARE):
            return
        try:
            await self._checkpoints.prune()
        except SandboxError as error:
            log.warning("Snapshots could not be pruned now: %s", error)

    async def all(self, container_id: str) -> Sequence[ContainerSnapshot]:
        """Return a container's snapshots, oldest first; those of a deleted one as long as there are any."""
        return [shown_snapshot(each) for each in await self._of(container_id)]

    async def one(self, container_id: str, snapshot_id: str) -> Snapshot:
        """Return a snapshot of a container that may have been deleted. Raises `NotFound`."""
        for snapshot in await self._of(container_id):
            if snapshot.id == snapshot_id:
                return snapshot
        raise NotFound(
            f"Container {container_id} has no snapshot {snapshot_id[:100]!r}.", param="snapshot_id"
        )

    async def delete(self, container_id: str, snapshot_id: str) -> None:
        """Remove a snapshot. Raises `NotFound`, `SandboxError`."""
        snapshot = await self.one(container_id, snapshot_id)
        await self._checkpoints.remove_now(snapshot)

    async def _of(self, container_id: str) -> Sequence[Snapshot]:
        found = await self._checkpoints.of(container_id, self._store.tenant)
        if not found and await self._store.container(container_id) is None:
            raise _no_container(container_id)
        return found


def shown_snapshot(snapshot: Snapshot) -> ContainerSnapshot:
    """Return a snapshot as clients see it."""
    return ContainerSnapshot(
        snapshot.id,
        container_of(snapshot),
        int(snapshot.created_at),
        snapshot.size,
        snapshot.labels.get(TITLE_LABEL, ""),
        kind_of(snapshot) == "automatic",
    )


def _no_container(container_id: str) -> NotFound:
    return NotFound(f"There is no container {container_id[:100]!r}.", param="container_id")
