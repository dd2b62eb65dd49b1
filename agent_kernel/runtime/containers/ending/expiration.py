"""Expiration: containers end after they were not used for a while.

The store decides, after the checkpoint was taken: a use by any process meanwhile keeps the container, and a
crash at any point leaves either the sandbox or its checkpoint.
"""

from __future__ import annotations

import logging
from typing import Protocol

from agent_kernel.each import each, skipped
from agent_kernel.errors import EngineUnavailable, SandboxError, SandboxGone, SandboxUnreachable
from agent_kernel.runtime.containers.attachment import Attachment
from agent_kernel.runtime.containers.checkpoints import Checkpoints
from agent_kernel.runtime.containers.ending.expiry import RETRY
from agent_kernel.runtime.containers.settings import ContainerOptions
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.optional import Snapshot, keeps_snapshots
from agent_kernel.store.records import ContainerRow
from agent_kernel.store.rows import Rows

log = logging.getLogger(__name__)


class Sandboxes(Protocol):
    """The part of the containers' life cycle that expiration uses."""

    settings: ContainerOptions
    audit: AuditLog
    checkpoints: Checkpoints

    async def engine(self) -> Backend:
        """Return the backend."""
        ...

    async def attach(self, row: ContainerRow, *, restore: bool = True) -> Channel:
        """Return the channel to a running container; with `restore`, bring an ended one back."""
        ...

    def attachment(self, container_id: str) -> Attachment:
        """Return what this process holds of a container."""
        ...

    def held(self, container_id: str) -> Attachment | None:
        """Return what this process holds of a container already."""
        ...

    async def remove(self, row: ContainerRow) -> None:
        """Remove a sandbox. Raises `SandboxError`."""
        ...


class Expiration:
    """Ends the containers of one store that have expired."""

    def __init__(self, sandboxes: Sandboxes, store: Rows) -> None:
        self._sandboxes = sandboxes
        self._store = store
        self._pruned = False
        self._expired: dict[str, ContainerRow] = {}

    async def settle(self, row: ContainerRow) -> None:
        """Remove the sandbox of an expired container if the engine still has it."""
        if row.sandbox_id in self._expired:
            await self._remove(row)

    async def expire(self, now: float) -> float | None:
        """End what has expired. Return when to look again (Unix seconds), None if nothing is alive."""
        backend, pruning = await self._sandboxes.engine(), not self._pruned
        soonest: float | None = None

        async def look(row: ContainerRow) -> None:
            nonlocal soonest, pruning
            if row.status != "running":
                return
            attachment = self._sandboxes.held(row.id)
            if attachment is not None and attachment.users:
                await self._store.touch_container(row.id, now)
                # Half-way: another process on this store must see the touch before it would expire it.
                deadline = now + row.expires_after * 30
            elif row.expires_at > now:
                deadline = row.expires_at
            elif row.backend != backend.name:  # that backend's next start removes it
                await self._store.end_container(row.id, "expired", if_idle_at=now)
                return
            else:
                deadline, ended = await self._expire_one(row, now)
                pruning = pruning or ended
                if ended:
                    return
            soonest = deadline if soonest is None else min(soonest, deadline)

        failures = await each(await self._store.containers(), look)
        # A sandbox that cannot be removed now is tried again next time.
        failures += await each(list(self._expired.values()), self._remove)
        if failures:
            soonest = now + RETRY if soonest is None else min(soonest, now + RETRY)
        if pruning:
            await self._sandboxes.checkpoints.prune()
            self._pruned = True
        return soonest

    async def _expire_one(self, row: ContainerRow, now: float) -> tuple[float, bool]:
        """Checkpoint and end a container. Return when to look again (Unix seconds), and whether it ended."""
        try:
            async with self._sandboxes.attachment(row.id).lock:
                ended = await self._keep_and_end(row, now)
        except SandboxError as error:  # the container stays as it is: an engine that is down loses nothing
            log.warning("Container %s could not expire now: %s", row.id, error)
            return now + RETRY, False
        return now + row.expires_after * 60, ended

    async def _keep_and_end(self, row: ContainerRow, now: float) -> bool:
        """Take a checkpoint, then end it. Return false if it was used meanwhile."""
        snapshot, reason = await self._kept(row) if await self.keeps() else (None, "none are kept")
        if not await self._store.end_container(row.id, "expired", if_idle_at=now):
            if snapshot is not None:
                await self._sandboxes.checkpoints.remove(snapshot)
            return False
        kept = f"; its checkpoint is {snapshot.id}" if snapshot is not None else ""
        log.info("Container %s has expired%s.", row.id, kept)
        audit = self._sandboxes.audit.of(row.tenant)
        audit.write("expire", container=row.id, snapshot=snapshot.id if snapshot else None, reason=reason)
        await self.put_away(row)
        await self._sandboxes.checkpoints.forget(row.id, but=snapshot.id if snapshot else None)
        return True

    async def put_away(self, row: ContainerRow) -> None:
        """Remove the sandbox of a container that has ended. A failure is logged, and tried again later."""
        self._expired[row.sandbox_id] = row
        with skipped(f"The sandbox of container {row.id}"):
            await self._remove(row)

    async def keeps(self) -> bool:
        """Return whether expired containers leave a checkpoint: the policy and the backend allow it."""
        keeps = self._sandboxes.settings.checkpoints.keep_expired
        return keeps and keeps_snapshots(await self._sandboxes.engine())

    async def _remove(self, row: ContainerRow) -> None:
        await self._sandboxes.remove(row)
        self._expired.pop(row.sandbox_id, None)

    async def _kept(self, row: ContainerRow) -> tuple[Snapshot | None, str | None]:
        """Take the checkpoint of a container that is about to expire; None, and the reason, if that fails.

        Raises `EngineUnavailable`, `SandboxUnreachable`: then it must not expire yet.
        """
        try:
            channel = await self._sandboxes.attach(row, restore=False)
            return await self._sandboxes.checkpoints.take(row, channel, "expired"), None
        except (EngineUnavailable, SandboxUnreachable):
            raise
        except SandboxGone as error:
            return None, error.message
        except SandboxError as error:
            log.warning("Container %s expires without a checkpoint: %s", row.id, error)
            return None, error.message
