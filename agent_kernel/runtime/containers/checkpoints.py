"""Checkpoints of containers: taken, found, and pruned by age and size.

A checkpoint's labels say what it was made from, so that backend and store agree after a crash. There are two
kinds. Automatic ones restore an expired container; the policy prunes them, and they are removed with their
container. Explicit ones stay until they are removed by request.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from agent_kernel.each import each
from agent_kernel.errors import NotFound, SandboxError
from agent_kernel.runtime.access.quota import Quota
from agent_kernel.runtime.containers.settings import CheckpointPolicy
from agent_kernel.runtime.containers.sweep import STORE_LABEL
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.sandboxes.base import Backend, SandboxRef
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.optional import Snapshot, keeps_snapshots, snapshots_of, total_size
from agent_kernel.store.records import ContainerRow
from agent_kernel.store.rows import Rows

log = logging.getLogger(__name__)

CONTAINER_LABEL = "agent_kernel.container"
KIND_LABEL = "agent_kernel.checkpoint"
NAME_LABEL = "agent_kernel.name"
MEMORY_LABEL = "agent_kernel.memory_limit"
RESOURCES_LABEL = "agent_kernel.resources"
NETWORK_LABEL = "agent_kernel.network"
KEY_LABEL = "agent_kernel.key"
"""The label with the owning tenant: the name of a key. Absent for the tenant without a named key."""

SHELL_LABEL = "agent_kernel.shell"
LOST = "lost"
"""The value of `SHELL_LABEL` in a checkpoint that was taken of a dead sandbox."""

Kind = Literal["expired", "explicit"]

SHELL_SECONDS = 30.0
"""Seconds to wait for a detached command before a checkpoint is taken without the shell's state."""


class Checkpoints:
    """The checkpoints of one store's containers on one backend, found by `engine` on first use."""

    def __init__(
        self,
        engine: Callable[[], Awaitable[Backend]],
        store: Rows,
        policy: CheckpointPolicy,
        audit: AuditLog,
    ) -> None:
        self._engine = engine
        self._store = store
        self._policy = policy
        self._audit = audit
        self.allowances: dict[str, Quota] = {}
        """Storage limits of the keys that this process has served."""

    async def take(self, row: ContainerRow, channel: Channel, kind: Kind) -> Snapshot:
        """Keep a container's files, packages and shell. The container is paused meanwhile.

        Raises `SandboxError`; nothing is left behind then, nor after a cancellation. An automatic one is
        refused if it is larger than all of them may be together.
        """
        snapshots_of(await self._engine())
        await self._save_shell(row, channel)
        await channel.pause()
        try:
            return await self._take(row, kind, {})
        finally:
            with suppress(SandboxError):  # the sandbox may be gone: its next use reports that
                await channel.wake()

    async def take_dead(self, row: ContainerRow) -> Snapshot:
        """Keep the files and packages of a container whose sandbox is dead, as `take` does at expiry.

        It has a label that says that the shell is lost. Raises `SandboxError`; nothing is left behind then.
        """
        return await self._take(row, "expired", {SHELL_LABEL: LOST})

    async def _take(self, row: ContainerRow, kind: Kind, more: Mapping[str, str]) -> Snapshot:
        backend, began = await self._engine(), time.monotonic()
        labels = {
            STORE_LABEL: await self._store.identity(),
            CONTAINER_LABEL: row.id,
            KIND_LABEL: kind,
            NAME_LABEL: row.name,
            MEMORY_LABEL: row.memory_limit or "",
            RESOURCES_LABEL: row.resources,
            NETWORK_LABEL: row.network,
            **({KEY_LABEL: row.tenant} if row.tenant else {}),
            **more,
        }
        ref = SandboxRef(row.id, backend.name, "running")
        most = self._most(row.tenant) if kind == "expired" else None
        snapshots = snapshots_of(backend)
        snapshot = await snapshots.checkpoint(ref, f"snap_{secrets.token_hex(12)}", labels, most)
        self._audit.of(row.tenant).write(
            "checkpoint", container=row.id, snapshot=snapshot.id, kind=kind, size=snapshot.size,
            seconds=time.monotonic() - began,
        )  # fmt: skip
        return snapshot

    def _most(self, tenant: str) -> int:
        """Return the bytes of the largest automatic checkpoint that `prune` would not remove at once."""
        allowance = self.allowances.get(tenant)
        stored = None if allowance is None else allowance.limits.stored_bytes
        return self._policy.total_size if stored is None else min(stored, self._policy.total_size)

    async def _save_shell(self, row: ContainerRow, channel: Channel) -> None:
        try:
            async with asyncio.timeout(SHELL_SECONDS):
                await channel.save_shell()
        except TimeoutError:
            log.warning(
                "A command is running in container %s, so its checkpoint does not have the shell's state.",
                row.id,
            )

    async def all(self) -> list[Snapshot]:
        """Return every checkpoint of this store's containers, oldest first; none if the backend has none."""
        backend = await self._engine()
        if not keeps_snapshots(backend):
            return []
        return await snapshots_of(backend).snapshots({STORE_LABEL: await self._store.identity()})

    async def one(self, snapshot_id: str, tenant: str | None = None) -> Snapshot:
        """Return this tenant's checkpoint of this id (`tenant` None: any). Raises `NotFound`."""
        for snapshot in await self.all():
            if snapshot.id == snapshot_id and tenant in (None, tenant_of(snapshot)):
                return snapshot
        raise NotFound(
            f"There is no checkpoint {snapshot_id!r}.", hint="See: agent-kernel containers snapshots"
        )

    async def of_expired(self, container_id: str) -> Snapshot | None:
        """Return the newest automatic checkpoint of an expired container."""
        found = [snapshot for snapshot in await self.all() if _is_of(snapshot, container_id)]
        return found[-1] if found else None

    async def forget(self, container_id: str, *, but: str | None = None) -> None:
        """Remove a container's automatic checkpoints, all or all `but` one."""
        found = [one for one in await self.all() if _is_of(one, container_id) and one.id != but]
        await each(found, self._removed)

    async def remove(self, snapshot: Snapshot, reason: str | None = None) -> bool:
        """Remove one; False if it cannot be, because a running container began with it.

        `reason` says in the log and the audit log why it is not kept.
        """
        try:
            await snapshots_of(await self._engine()).remove_snapshot(snapshot.id)
        except SandboxError as error:
            log.info("The checkpoint %s stays for now: %s", snapshot.id, error)
            return False
        audit = self._audit.of(tenant_of(snapshot))
        if reason is not None:
            log.info("The checkpoint %s is removed: %s.", snapshot.id, reason)
        audit.write(
            "prune", snapshot=snapshot.id, container=_container(snapshot), size=snapshot.size, reason=reason
        )
        return True

    async def _removed(self, snapshot: Snapshot) -> None:
        await self.remove(snapshot)

    async def prune(self) -> list[Snapshot]:
        """Remove what the policy does not keep; return what was removed.

        That is: of expired containers what is too old, belongs to no container any more, or is, oldest
        first, over the total size or over what its key may store.
        """
        known = {row.id for row in await self._store.containers()}
        kept = [snapshot for snapshot in await self.all() if snapshot.labels.get(KIND_LABEL) == "expired"]
        beyond = _beyond(kept, known, self._policy, time.time())
        for tenant, allowance in self.allowances.items():
            if (most := allowance.limits.stored_bytes) is not None:
                policy = replace(self._policy, total_size=most)
                theirs = [one for one in kept if tenant_of(one) == tenant and one not in beyond]
                beyond += _beyond(theirs, known, policy, time.time())
        removed: list[Snapshot] = []

        async def remove(snapshot: Snapshot) -> None:
            if await self.remove(snapshot, _why_beyond(snapshot, known, self._policy, time.time())):
                removed.append(snapshot)

        await each(beyond, remove)
        return removed


def _beyond(
    snapshots: list[Snapshot], known: Collection[str], policy: CheckpointPolicy, now: float
) -> list[Snapshot]:
    """Return the `snapshots` that a policy does not keep. `snapshots` is sorted, oldest first."""
    beyond: list[Snapshot] = []
    kept: list[Snapshot] = []
    for snapshot in reversed(snapshots):
        too_old = snapshot.created_at < now - policy.max_age
        too_much = total_size([*kept, snapshot]) > policy.total_size
        (beyond if too_old or too_much or _container(snapshot) not in known else kept).append(snapshot)
    return beyond[::-1]


def _why_beyond(snapshot: Snapshot, known: Collection[str], policy: CheckpointPolicy, now: float) -> str:
    """Return why a policy does not keep a checkpoint that is `_beyond` it."""
    if _container(snapshot) not in known:
        return "its container was deleted"
    if snapshot.created_at < now - policy.max_age:
        return f"it is older than {policy.max_age:.0f} s"
    return f"its {snapshot.size} bytes put the checkpoints over the storage limit"


def lost_shell(snapshot: Snapshot) -> bool:
    """Return whether a checkpoint has a dead sandbox's files, but not its shell's state."""
    return snapshot.labels.get(SHELL_LABEL) == LOST


def tenant_of(snapshot: Snapshot) -> str:
    """Return the tenant that owns a checkpoint; see `Rows.of`."""
    return snapshot.labels.get(KEY_LABEL, "")


def _is_of(snapshot: Snapshot, container_id: str) -> bool:
    return _container(snapshot) == container_id and snapshot.labels.get(KIND_LABEL) == "expired"


def _container(snapshot: Snapshot) -> str:
    return snapshot.labels.get(CONTAINER_LABEL, "")
