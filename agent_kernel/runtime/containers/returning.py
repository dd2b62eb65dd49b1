"""The return of containers that have ended: from the checkpoint of their expiry, or from a snapshot."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from agent_kernel.errors import SandboxUnreachable
from agent_kernel.runtime.access.quota import Quota
from agent_kernel.runtime.containers.attachment import Attachment
from agent_kernel.runtime.containers.checkpoints import Checkpoints, lost_shell
from agent_kernel.runtime.containers.removal import expired_for_good
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.sandboxes.optional import Snapshot
from agent_kernel.store.records import ContainerRow
from agent_kernel.store.rows import Rows

log = logging.getLogger(__name__)


class Startable(Protocol):
    """The part of the containers' life cycle that a return uses."""

    audit: AuditLog
    checkpoints: Checkpoints

    def attachment(self, container_id: str) -> Attachment:
        """Return what this process holds of a container."""
        ...

    async def begin(self, row: ContainerRow, snapshot: Snapshot | None) -> None:
        """Make the sandbox of a container and attach to it."""
        ...

    async def remove(self, row: ContainerRow) -> None:
        """Remove a sandbox. Raises `SandboxError`."""
        ...


class Returns:
    """Brings containers of one store back. Hold the lock of the container."""

    def __init__(self, sandboxes: Startable, store: Rows) -> None:
        self._sandboxes = sandboxes
        self._store = store

    async def from_expiry(self, row: ContainerRow, allowance: Quota) -> None:
        """Start an expired container again, from its checkpoint. Its next turn is told.

        Raises `InvalidRequest` if it left none, and as `from_snapshot`.
        """
        began, snapshot = time.monotonic(), await self._sandboxes.checkpoints.of_expired(row.id)
        if snapshot is None:
            raise expired_for_good()
        await self.from_snapshot(row, snapshot, allowance)
        self._sandboxes.attachment(row.id).note_return(died=lost_shell(snapshot))
        log.info("Container %s had ended and was restored from checkpoint %s.", row.id, snapshot.id)
        seconds = time.monotonic() - began
        self._sandboxes.audit.of(row.tenant).write(
            "restore", container=row.id, snapshot=snapshot.id, seconds=seconds
        )

    async def from_snapshot(self, row: ContainerRow, snapshot: Snapshot, allowance: Quota) -> None:
        """Start a container that has ended again. After a failure it is as before.

        Raises `LimitReached` if too many others live, `SandboxUnreachable` if another process does it,
        `SandboxError`.
        """
        most = allowance.limits.containers
        if not await self._store.change_container(row.id, row.status, "restoring", time.time(), most=most):
            now = await self._store.container(row.id)
            if now is not None and now.status == row.status:
                raise allowance.too_many_containers()
            raise SandboxUnreachable(f"Container {row.id} is being restored.", hint="Try again.")
        try:
            await self._sandboxes.begin(row, snapshot)
            if lost_shell(snapshot):
                await self._forget_shell(row)
        except BaseException:
            ended = self._store.change_container(row.id, "restoring", row.status, row.last_active_at)
            await asyncio.shield(asyncio.ensure_future(ended))
            raise
        await self._store.change_container(row.id, "restoring", "running", time.time())

    async def _forget_shell(self, row: ContainerRow) -> None:
        """Begin an empty shell: a dead sandbox's files may hold the state of a shell that is long past."""
        channel = self._sandboxes.attachment(row.id).channel
        try:
            if channel is not None:
                await channel.reset()
        except BaseException:
            await asyncio.shield(self._sandboxes.remove(row))
            raise
